// Executor `concat` (DESIGN 9): one statement ran on several shards, and the client sees one answer. The streams of the shards come one after the
// other, each as its exchange would have relayed it; rows go on as they are, one RowDescription, the first error, and at the end one CommandComplete
// with the sum. Sans-I/O; one object a statement, its session's thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace proxy {

class concat {
 public:
  // `simple`: the client sent a simple query, and knows nothing of Parse and Bind.
  explicit concat(bool simple) : simple_(simple) {}

  // What the shard at hand says next, cut anywhere; what the client is to see of it is appended.
  void take(std::string_view bytes, std::string& out);
  void next_shard() noexcept { first_ = false, described_ = 0; }
  // Behind the last shard; nothing after an error.
  void finish(std::string& out) const;

  // The client has been told an error: nothing else of the statement is for it.
  void fail() noexcept { failed_ = true; }
  bool failed() const noexcept { return failed_; }
  // Between two messages of the stream: something may be put in.
  bool at_boundary() const noexcept { return rest_ == 0 || !relays_; }
  std::uint64_t rows() const noexcept { return rows_; }

 private:
  bool begin(char type);
  void whole(std::string& out);

  bool simple_, first_ = true, failed_ = false;
  bool relays_ = false;   // the message under way
  std::size_t rest_ = 0;  // bytes of it that are still to come
  bool keeps_ = false;    // it is gathered in kept_
  std::string kept_;      // ... or its header is
  std::vector<std::string> columns_;  // of the first shard's RowDescriptions (the statement's, the portal's), without where they come from
  std::size_t described_ = 0;         // so many of them the shard at hand has sent
  std::uint64_t rows_ = 0;
};

}  // namespace proxy
