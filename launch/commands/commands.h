// The verbs of `drover`. Each function adds its verbs, with options and a --help that teaches, to the
// program; the one the user chose leaves in `chosen` what is to be done, and main runs it after parsing.
#pragma once

#include <functional>

#include "core/base/error.h"

namespace CLI {
class App;
}

namespace drover {

// Does the work and returns the exit code. What it throws is printed by main: Error with its own code.
using Verb = std::function<Exit()>;

void add_config_command(CLI::App& app, Verb& chosen);    // config
void add_data_commands(CLI::App& app, Verb& chosen);     // data train-tokenizer | prepare | inspect | explain
void add_explain_command(CLI::App& data, Verb& chosen);  // data explain
void add_checkpoint_commands(CLI::App& app, Verb& chosen);  // checkpoint inspect | export | ...
void add_train_command(CLI::App& app, Verb& chosen);        // train
void add_eval_command(CLI::App& app, Verb& chosen);         // eval
void add_generate_command(CLI::App& app, Verb& chosen);     // generate
void add_verify_command(CLI::App& app, Verb& chosen);       // verify
void add_schedule_command(CLI::App& app, Verb& chosen);     // schedule
void add_doctor_command(CLI::App& app, Verb& chosen);       // doctor
void add_bench_commands(CLI::App& app, Verb& chosen);       // bench products

}  // namespace drover
