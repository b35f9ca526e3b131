// One function a section, in the order users see. A key's names elsewhere are those of torchtitan, nanotron,
// Megatron-LM and Transformers.
#include "launch/config/describe_config.h"

namespace drover {

namespace {

// Far above what anybody trains, and so that products of them can be counted.
constexpr double kMaxRanks = 1e6, kMaxSize = 1 << 24, kMaxBlocks = 1 << 16;
constexpr double kMaxSteps = 1e9, kMaxBatchTokens = 1e9, kMaxTokens = 1e18;

void describe_run(Fields& fields, RunSection& c) {
  fields.add("name", c.name,
             {.meaning = "what the run is called in its directory and logs",
              .on_resume = OnResume::may_change,
              .elsewhere = "run_name wandb_exp_name"});
  fields.add("dir", c.dir,
             {.meaning = "run directory: metrics, logs, checkpoints; null: runs/NAME",
              .on_resume = OnResume::may_change,
              .elsewhere = "output_dir save folder dump_folder checkpoints_path"});
  fields.add("seed", c.seed,
             {.meaning = "of initial weights and the order of documents",
              .at_least = 0,
              .elsewhere = "init_seed data_seed"});
}

void describe_rope_scaling(Fields& fields, RopeScaling& c) {
  std::string type = "llama3";
  fields.add(
      "rope_type", type,
      {.meaning = "how frequencies are scaled: as Llama 3.1 does", .choices = "llama3", .elsewhere = "type"});
  fields.add("factor", c.factor, {.meaning = "how much the lowest frequencies are slowed", .at_least = 1});
  fields.add("low_freq_factor", c.low_freq_factor,
             {.meaning = "wavelengths above original_max_position_embeddings / this are scaled in full"});
  fields.add("high_freq_factor", c.high_freq_factor,
             {.meaning = "wavelengths below original_max_position_embeddings / this are not scaled"});
  fields.add("original_max_position_embeddings", c.original_max_position_embeddings,
             {.meaning = "tokens of context the unscaled model was trained with",
              .at_least = 1,
              .at_most = kMaxBatchTokens});
}

// "The Llama 3 Herd of Models" (arXiv 2407.21783), table 3.
ModelConfig preset_named(const std::string& name) {
  ModelConfig c{.hidden_size = 4096,
                .num_hidden_layers = 32,
                .num_attention_heads = 32,
                .num_key_value_heads = 8,
                .intermediate_size = 14336,
                .vocab_size = 128256};
  if (name == "llama3-8b") return c;
  c.hidden_size = 8192;
  c.num_hidden_layers = 80;
  c.num_attention_heads = 64;
  c.intermediate_size = 28672;
  if (name == "llama3-70b") return c;
  DROVER_CHECK(name == "llama3-405b", name);
  c.hidden_size = 16384;
  c.num_hidden_layers = 126;
  c.num_attention_heads = 128;
  c.intermediate_size = 53248;
  return c;
}

void describe_model_shape(Fields& fields, ModelConfig& c, bool required) {
  const auto size = [&](const char* key, std::int64_t& value, const char* meaning, const char* elsewhere,
                        double at_most = kMaxSize) {
    fields.add(key, value,
               {.meaning = meaning,
                .required = required,
                .at_least = 1,
                .at_most = at_most,
                .elsewhere = elsewhere});
  };
  size("hidden_size", c.hidden_size, "width D of the residual stream", "dim d_model n_embd");
  size("num_hidden_layers", c.num_hidden_layers, "blocks L", "n_layers num_layers n_layer", kMaxBlocks);
  size("num_attention_heads", c.num_attention_heads, "query heads H", "n_heads n_head");
  size("num_key_value_heads", c.num_key_value_heads, "key and value heads K; H is a multiple of it",
       "n_kv_heads num_query_groups");
  size("intermediate_size", c.intermediate_size, "width F of the feed-forward layer",
       "ffn_hidden_size ffn_dim hidden_dim");
  size("vocab_size", c.vocab_size, "rows V of the token table, at least those of the tokenizer",
       "padded_vocab_size");
}

void describe_head_dim(Fields& fields, ModelConfig& c) {
  std::optional<std::int64_t> head_dim;
  if (c.head_dim > 0) head_dim = c.head_dim;
  fields.add("head_dim", head_dim,
             {.meaning = "size E of a head; null: hidden_size / num_attention_heads",
              .at_least = 1,
              .at_most = kMaxSize,
              .elsewhere = "kv_channels"});
  c.head_dim = head_dim.value_or(0);
}

void describe_model(Fields& fields, ModelConfig& c) {
  std::string preset;
  fields.add("preset", preset,
             {.meaning = "a model whose values are the defaults of the keys below",
              .on_resume = OnResume::may_change,
              .choices = "llama3-8b llama3-70b llama3-405b",
              .elsewhere = "flavor"});
  if (!preset.empty()) {
    c = preset_named(preset);
    fields.defaults_from("preset " + preset);
  }
  describe_model_shape(fields, c, preset.empty());
  describe_head_dim(fields, c);
  fields.add("rope_theta", c.rope_theta,
             {.meaning = "base of the rotary frequencies", .elsewhere = "rotary_base"});
  add_optional(fields, "rope_scaling", c.rope_scaling,
               {.meaning = "Llama 3.1's scaling of rotary frequencies for long context",
                .elsewhere = "rope_parameters"},
               describe_rope_scaling);
  fields.add("rms_norm_eps", c.rms_norm_eps,
             {.meaning = "added to the mean square in RMSNorm",
              .at_least = 0,
              .elsewhere = "norm_eps norm_epsilon layernorm_epsilon layer_norm_epsilon"});
  fields.add("tie_word_embeddings", c.tie_word_embeddings,
             {.meaning = "the output head is the token table", .elsewhere = "weight_tying"});
  fields.add(
      "initializer_range", c.initializer_range,
      {.meaning = "standard deviation of initial weights", .at_least = 0, .elsewhere = "init_method_std"});
}

// Of the run's own sources the order and the weights belong to what a checkpoint counts; a phase may be planned anew.
// A store may move: by its name, which is of its content, Trainer::resume knows it.
void describe_source(Fields& fields, SourceConfig& c, OnResume weight_on_resume) {
  fields.add("store", c.store,
             {.meaning = "path of a token store, made by `drover data prepare`",
              .on_resume = OnResume::may_change,
              .required = true,
              .elsewhere = "path data_path dataset_folder"});
  fields.add("weight", c.weight,
             {.meaning = "share of rows, relative to the other weights; 0: not used in this phase",
              .on_resume = weight_on_resume,
              .at_least = 0,
              .elsewhere = "dataset_weights"});
}

void describe_run_source(Fields& fields, SourceConfig& c) { describe_source(fields, c, OnResume::fixed); }
void describe_phase_source(Fields& fields, SourceConfig& c) {
  describe_source(fields, c, OnResume::may_change);
}

void describe_synthetic(Fields& fields, SyntheticOptions& c) {
  auto seed = static_cast<std::int64_t>(c.seed);
  fields.add("name", c.name, {.meaning = "of the source in messages"});
  fields.add("seed", seed, {.meaning = "of lengths and tokens", .at_least = 0});
  c.seed = static_cast<std::uint64_t>(seed);
  fields.add("documents", c.documents, {.meaning = "documents of an epoch", .at_least = 1});
  fields.add("vocab_size", c.vocab_size, {.meaning = "token ids are below this", .at_least = 2});
  fields.add("median_length", c.median_length, {.meaning = "tokens of a document", .at_least = 1});
  fields.add("sigma", c.sigma, {.meaning = "of the logarithm of a document's length", .at_least = 0});
  fields.add("max_length", c.max_length, {.meaning = "tokens of a document", .at_least = 1});
}

void describe_data(Fields& fields, DataConfig& c) {
  fields.add("tokenizer", c.tokenizer,
             {.meaning = "path of tokenizer.json or a tiktoken .model, for text in and out",
              .on_resume = OnResume::may_change,
              .elsewhere = "tokenizer_model tokenizer_name_or_path tokenizer_path hf_assets_path"});
  add_list(
      fields, "sources", c.sources,
      {.meaning = "token stores to train on, mixed by weight", .elsewhere = "datasets dataset data_path"},
      describe_run_source);
  add_optional(fields, "synthetic", c.synthetic,
               {.meaning = "documents made by a formula, instead of sources", .elsewhere = "mock_data"},
               describe_synthetic);
  fields.add("holdout", c.holdout,
             {.meaning = "path of the token store to evaluate on; null: no evaluation",
              .on_resume = OnResume::may_change,
              .elsewhere = "valid_data_path eval_dataset validation_dataset"});
  fields.add("region_tokens", c.region_tokens,
             {.meaning = "documents are shuffled within regions of about so many tokens, and the regions too",
              .unit = Unit::tokens,
              .at_least = 1,
              .at_most = 1e12});
}

void describe_batch(Fields& fields, TrainConfig& c) {
  fields.add("sequence_length", c.sequence_length,
             {.meaning = "tokens of a row",
              .unit = Unit::tokens,
              .required = true,
              .at_least = 1,
              .at_most = kMaxBatchTokens,
              .elsewhere = "seq_len seq_length max_sequence_length max_position_embeddings block_size"});
  fields.add("batch_tokens", c.batch_tokens,
             {.meaning = "input tokens of one step over all ranks; a multiple of sequence_length",
              .unit = Unit::tokens,
              .required = true,
              .at_least = 1,
              .at_most = kMaxBatchTokens,
              .elsewhere = "global_batch_size num_tokens_per_train_step batch_size"});
  fields.add("microbatch_sequences", c.microbatch_sequences,
             {.meaning = "rows a rank computes at once",
              .on_resume = OnResume::may_change,
              .at_least = 1,
              .at_most = 1e6,
              .elsewhere = "micro_batch_size local_batch_size per_device_train_batch_size"});
}

void describe_train(Fields& fields, TrainConfig& c) {
  fields.add("dtype", c.dtype,
             {.meaning = "what is computed in; masters and sums are float32, or all float64",
              .choices = "bfloat16 float32 float64",
              .elsewhere = "torch_dtype mixed_precision_param params_dtype bf16"});
  describe_batch(fields, c);
  fields.add("steps", c.steps,
             {.meaning = "optimizer steps to train; give this or tokens",
              .on_resume = OnResume::may_change,
              .at_least = 1,
              .at_most = kMaxSteps,
              .elsewhere = "train_steps train_iters max_steps num_steps"});
  fields.add("tokens", c.tokens,
             {.meaning = "input tokens to train on; give this or steps",
              .on_resume = OnResume::may_change,
              .unit = Unit::tokens,
              .at_least = 1,
              .at_most = kMaxTokens,
              .elsewhere = "train_samples max_duration max_tokens"});
  fields.add("recompute", c.recompute,
             {.meaning = "what backward computes again instead of keeping it: less memory, the same numbers",
              .on_resume = OnResume::may_change,
              .choices = "none selective full",
              .elsewhere = "activation_checkpoint recompute_granularity gradient_checkpointing ac_config"});
}

void describe_rates(Fields& fields, OptimizerConfig& c) {
  fields.add("lr", c.lr,
             {.meaning = "peak learning rate",
              .on_resume = OnResume::may_change,
              .at_least = 0,
              .elsewhere = "learning_rate max_lr"});
  fields.add("betas", c.betas,
             {.meaning = "decay of AdamW's first and second moment",
              .elsewhere = "beta1 beta2 adam_beta1 adam_beta2"});
  fields.add("eps", c.eps,
             {.meaning = "added to the root of the second moment",
              .at_least = 0,
              .elsewhere = "adam_eps adam_epsilon epsilon"});
  fields.add("weight_decay", c.weight_decay,
             {.meaning = "times the learning rate, on matrices only",
              .on_resume = OnResume::may_change,
              .at_least = 0});
  fields.add("clip_norm", c.clip_norm,
             {.meaning = "gradients are scaled down to this norm; 0: never",
              .on_resume = OnResume::may_change,
              .at_least = 0,
              .elsewhere = "max_norm clip_grad max_grad_norm grad_clip"});
}

void describe_optimizer(Fields& fields, OptimizerConfig& c) {
  describe_rates(fields, c);
  fields.add("schedule", c.schedule,
             {.meaning = "of the learning rate after the warm-up",
              .on_resume = OnResume::may_change,
              .choices = "cosine linear wsd constant",
              .elsewhere = "lr_decay_style decay_type lr_scheduler_type"});
  fields.add("warmup_steps", c.warmup_steps,
             {.meaning = "steps in which the rate rises linearly to lr",
              .on_resume = OnResume::may_change,
              .at_least = 0,
              .at_most = kMaxSteps,
              .elsewhere = "lr_warmup_steps lr_warmup_iters num_warmup_steps warmup"});
  fields.add("decay_steps", c.decay_steps,
             {.meaning = "steps of the decay; null: to the end of the run (wsd: its last tenth)",
              .on_resume = OnResume::may_change,
              .at_least = 1,
              .at_most = kMaxSteps,
              .elsewhere = "lr_decay_steps lr_decay_iters decay_ratio"});
  fields.add("min_lr_ratio", c.min_lr_ratio,
             {.meaning = "the rate at the end of the decay, relative to lr",
              .on_resume = OnResume::may_change,
              .at_least = 0,
              .at_most = 1,
              .elsewhere = "min_lr min_lr_factor min_decay_lr alpha_f"});
}

void describe_axes(Fields& fields, ParallelConfig& c) {
  const auto axis = [&](const char* key, std::int64_t& value, const char* meaning, const char* elsewhere) {
    fields.add(key, value,
               {.meaning = meaning,
                .on_resume = OnResume::may_change,
                .at_least = 1,
                .at_most = kMaxRanks,
                .elsewhere = elsewhere});
  };
  axis("tensor", c.tensor, "ranks that cut each matrix",
       "tp tensor_parallel_degree tensor_model_parallel_size tensor_parallel_size");
  axis("context", c.context, "ranks that cut each row", "cp context_parallel_degree context_parallel_size");
  axis("pipeline", c.pipeline, "ranks that cut the model into stages",
       "pp pipeline_parallel_degree pipeline_model_parallel_size pipeline_parallel_size");
  axis("replicate", c.replicate, "whole copies of the sharded model (HSDP)",
       "data_parallel_replicate_degree");
  fields.add("shard", c.shard,
             {.meaning = "ranks that share one copy's optimizer state; -1: the ranks that are left",
              .on_resume = OnResume::may_change,
              .at_least = -1,
              .at_most = kMaxRanks,
              .elsewhere = "dp data_parallel_shard_degree data_parallel_size"});
  fields.add("zero", c.zero,
             {.meaning = "what is cut by shard: 1 optimizer state, 2 also gradients, 3 also weights",
              .on_resume = OnResume::may_change,
              .at_least = 1,
              .at_most = 3,
              .elsewhere = "zero_stage use_distributed_optimizer fsdp_reshard_after_forward"});
}

void describe_parallel(Fields& fields, ParallelConfig& c) {
  describe_axes(fields, c);
  fields.add("schedule", c.schedule,
             {.meaning = "order of microbatches in a pipeline: gpipe, 1f1b, interleaved, zb-h1, zb-v, csv",
              .on_resume = OnResume::may_change,
              .elsewhere = "pipeline_parallel_schedule pp_engine"});
  fields.add("virtual_stages", c.virtual_stages,
             {.meaning = "stages of each pipeline rank",
              .on_resume = OnResume::may_change,
              .at_least = 1,
              .at_most = kMaxRanks,
              .elsewhere = "virtual_pipeline_model_parallel_size"});
  fields.add("stretch", c.stretch,
             {.meaning = "consecutive microbatches of one stage, Llama 3's N; null: the pipeline's ranks",
              .on_resume = OnResume::may_change,
              .at_least = 1,
              .at_most = kMaxRanks,
              .former = "run_length",
              .elsewhere = "microbatch_group_size_per_virtual_pipeline_stage"});
  fields.add("stage_layers", c.stage_layers,
             {.meaning = "how blocks are dealt out to stages",
              .on_resume = OnResume::may_change,
              .elsewhere = "pipeline_model_parallel_layout"});
  fields.add("schedule_file", c.schedule_file,
             {.meaning = "path of a CSV that gives the pipeline's order",
              .on_resume = OnResume::may_change,
              .elsewhere = "pipeline_parallel_schedule_csv"});
  fields.add("context_pieces", c.context_pieces,
             {.meaning = "how a row is cut along context",
              .on_resume = OnResume::may_change,
              .choices = "auto head_tail balanced",
              .elsewhere = "context_parallel_load_balancer"});
}

void describe_checkpoint(Fields& fields, CheckpointConfig& c) {
  Interval every{.steps = c.every_seconds > 0 ? 0 : c.every_steps, .seconds = c.every_seconds};
  fields.add("every", every,
             {.meaning = "steps, or time, between checkpoints",
              .on_resume = OnResume::may_change,
              .elsewhere = "interval checkpoint_interval save_interval save_steps"});
  c.every_steps = every.steps;
  c.every_seconds = every.seconds;
  fields.add("keep", c.keep,
             {.meaning = "newest checkpoints that are kept",
              .on_resume = OnResume::may_change,
              .at_least = 1,
              .at_most = 1e6,
              .elsewhere = "keep_latest_k save_total_limit"});
}

void describe_eval(Fields& fields, EvalConfig& c) {
  fields.add("every", c.every,
             {.meaning = "steps between evaluations; 0: only at the end",
              .on_resume = OnResume::may_change,
              .at_least = 0,
              .elsewhere = "eval_interval eval_steps val_check_interval freq"});
  fields.add("sequences", c.sequences,
             {.meaning = "rows of the hold-out; 0: all of it",
              .on_resume = OnResume::may_change,
              .at_least = 0,
              .elsewhere = "eval_samples eval_iters limit_val_batches"});
}

void describe_launch(Fields& fields, LaunchConfig& c) {
  fields.add(
      "timeout", c.timeout,
      {.meaning = "how long ranks wait for one that is there but does not come; all deadlines follow "
                  "from it and from measured times: a lost process is noticed after a hundredth. Longer "
                  "where a save, a load or the first step may take that long on one rank alone",
       .on_resume = OnResume::may_change,
       .at_least = 60,
       .at_most = 7 * 86400,
       .elsewhere = "init_timeout_seconds train_timeout_seconds distributed_timeout_minutes"});
}

void describe_phase(Fields& fields, PhaseConfig& c) {
  fields.add("from_tokens", c.from_tokens,
             {.meaning = "the phase starts with the first step after so many input tokens",
              .on_resume = OnResume::may_change,
              .unit = Unit::tokens,
              .required = true,
              .at_least = 1,
              .at_most = kMaxTokens,
              .elsewhere = "start_training_step"});
  fields.add("sequence_length", c.sequence_length,
             {.meaning = "tokens of a row; null: as before",
              .on_resume = OnResume::may_change,
              .unit = Unit::tokens,
              .at_least = 1,
              .at_most = kMaxBatchTokens});
  fields.add("batch_tokens", c.batch_tokens,
             {.meaning = "input tokens of one step; null: as before",
              .on_resume = OnResume::may_change,
              .unit = Unit::tokens,
              .at_least = 1,
              .at_most = kMaxBatchTokens});
  std::vector<SourceConfig> sources = c.sources.value_or(std::vector<SourceConfig>{});
  add_list(fields, "sources", sources,
           {.meaning = "some of data.sources with new weights, the others rest; empty: as before",
            .on_resume = OnResume::may_change},
           describe_phase_source);
  c.sources = sources.empty() ? std::nullopt : std::optional(sources);
}

}  // namespace

void describe(Fields& fields, Config& config) {
  const auto section = [&](const char* key, auto& value, auto describe_section, const FieldInfo& info) {
    fields.section(key, info, [&](Fields& inner) { describe_section(inner, value); });
  };
  section("run", config.run, describe_run,
          {.meaning = "name, place and seed", .elsewhere = "general job debug"});
  fields.add("device", config.device,
             {.meaning = "what computes; auto is the CPU, cuda cannot run yet",
              .on_resume = OnResume::may_change,
              .choices = "auto cpu cuda",
              .elsewhere = "accelerator use_cpu"});
  fields.add(
      "cpu_path", config.cpu_path,
      {.meaning =
           "instructions that the CPU computes with; they decide the last bits. auto is by the processor's "
           "model (docs/numerics.md); one name gives one set of bits on unlike processors that have it",
       .on_resume = OnResume::may_change,
       .choices = "auto plain avx2 avx512 avx512_bf16 amx"});
  section("model", config.model, describe_model,
          {.meaning = "shape of the Llama, in Hugging Face's names", .elsewhere = "model_config"});
  section("data", config.data, describe_data, {.meaning = "what is trained on", .elsewhere = "dataloader"});
  section("train", config.train, describe_train,
          {.meaning = "batch, length and precision", .elsewhere = "training tokens trainer"});
  section("optimizer", config.optimizer, describe_optimizer,
          {.meaning = "AdamW and the learning rate",
           .elsewhere = "optim lr_scheduler learning_rate_scheduler scheduler"});
  section("parallel", config.parallel, describe_parallel,
          {.meaning = "how ranks share the work", .elsewhere = "parallelism"});
  section("checkpoint", config.checkpoint, describe_checkpoint,
          {.meaning = "when to save", .elsewhere = "checkpoints checkpointer checkpointing"});
  section("eval", config.eval, describe_eval,
          {.meaning = "when to measure the loss on the hold-out", .elsewhere = "evaluation validation"});
  section("launch", config.launch, describe_launch,
          {.meaning = "how ranks hold together", .elsewhere = "comm"});
  add_list(fields, "phases", config.phases,
           {.meaning = "changes of length, batch and mixture by token count",
            .on_resume = OnResume::may_change,
            .elsewhere = "data_stages"},
           describe_phase);
}

}  // namespace drover
