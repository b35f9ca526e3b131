// Ranks that fail together: what goes wrong on one rank is an Error on all, so none waits for one that left.
#pragma once

#include <string>

#include "core/base/function_ref.h"
#include "parallel/comm/communicator.h"

namespace drover {

// Runs `body` on every rank; it starts nothing on `world`. If it threw on some rank, throws on all the Error
// of the lowest such rank, with its exit code and its number. Collective.
void agree(const Exec& exec, Communicator& world, FunctionRef<void()> body);

// Replaces `text` on every rank by that of `root`. Collective.
void broadcast_text(const Exec& exec, Communicator& world, std::string& text, int root);

// Joins the ranks' texts in rank order along a binary tree: `join` appends in its sense the second text, which is of the
// ranks right above those of the first, to the first. Afterwards rank 0 has all in `text`; what others have there is
// gone. Collective.
void join_on_first(const Exec& exec, Communicator& world, std::string& text,
                   FunctionRef<void(std::string& lower, const std::string& higher)> join);
// Every rank's text comes to rank 0, which calls `use` with one after the other, in rank order. Collective.
void bring_texts_to_first(const Exec& exec, Communicator& world, std::string& text,
                          FunctionRef<void(const std::string&)> use);

}  // namespace drover
