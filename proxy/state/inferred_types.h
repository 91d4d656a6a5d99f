// What types the shards infer for parameters that a client did not declare, by text and declared types of the statement and by what
// names mean to the client (`scope`: its user and search_path). Only asked for
// statements whose shard key is such a parameter and has other uses too (session_types.cc), and asked again after a while, since the
// answer follows the columns of tables. One a worker, on its thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace proxy {

class inferred_types {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::size_t most = 1000;
  static constexpr auto valid_for = std::chrono::seconds(60);

  // nullptr: not known any more. Valid until the next remember().
  const std::vector<std::uint32_t>* find(std::string_view scope, std::string_view sql, const std::vector<std::uint32_t>& declared, clock::time_point now) const;
  void remember(std::string_view scope, std::string_view sql, const std::vector<std::uint32_t>& declared, std::vector<std::uint32_t> types,
                clock::time_point now);

 private:
  struct answer {
    std::vector<std::uint32_t> types;
    clock::time_point since;
  };
  std::unordered_map<std::string, answer> answers_;
};

}  // namespace proxy
