// One rank's training, composed: the page that says in which order everything is put together, and why, is
// build.cpp.
#pragma once

#include <memory>

#include "core/cpu/cpu_backend.h"
#include "core/files/filesystem.h"
#include "parallel/mesh/metered_comm.h"
#include "train/pipeline_drive.h"
#include "train/plan.h"
#include "train/rank_model.h"
#include "train/training_data.h"

namespace drover {

// What a run stands on: made by launch/ (or by a test) and outlives everything below. Device memory and
// backend belong together.
struct Platform {
  Communicator& world;
  Backend& backend;
  Memory& host;
  FileSystem& files;
  SentBytes* sent = nullptr;      // where traffic is counted; null: it is not
  PlantedBug* planted = nullptr;  // core/watch/planted_bug.h; null: none is planted
  Trace* trace = nullptr;         // where operations between ranks and stages are watched; null: nowhere
};

// What is planned, what is built from it, and what drives it. Members are in order of construction; later ones refer to
// earlier ones.
struct Training {
  TrainingPlan plan;
  Connections connections;
  TrainingData data;
  RankModel model;
  PipelineDrive drive;
};

// Composes all of the above for this rank, weights initialised from the seed, positioned before step 0.
// Collective over the world. Illegal layouts and sizes are refused (Error{usage}) before anything large is
// allocated.
std::unique_ptr<Training> build_training(const Config& config, const Platform& platform);
// The same without sources and loader, for evaluation and generation: what is fed comes from the hold-out, the only
// token store that is opened (none where the configuration names none), or a prompt of at most train.sequence_length
// tokens.
std::unique_ptr<Training> build_inference(const Config& config, const Platform& platform);

// What the CPU backend of a rank is made with.
CpuOptions cpu_options(const Config& config, int threads);

}  // namespace drover
