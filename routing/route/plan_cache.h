// Plans by text, one cache per worker. Simple query text is cached under its form without literals ($1, $2, ... in their place), so
// that texts that differ in values only share one plan; a form that does not parse (date '...', interval '...') is cached whole.
// Bounded by entries and bytes, least recently used goes first; emptied when the map's schema_version changes. Not thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include <boost/container/small_vector.hpp>

#include "routing/analysis/analyzer.h"
#include "routing/route/router.h"

namespace routing {

class plan_cache {
 public:
  explicit plan_cache(std::size_t max_entries = 4096, std::size_t max_bytes = 16u << 20);
  ~plan_cache();
  plan_cache(plan_cache&&) noexcept;
  plan_cache& operator=(plan_cache&&) noexcept;

  // Text of a Parse message: parameters are the client's own.
  std::shared_ptr<const text_plan> prepared(const shard_map&, std::string_view sql);
  // Text of a Query message. Literals found are put into `literals` as parameters (views into `sql` or into scratch owned by the
  // cache until the next call).
  std::shared_ptr<const text_plan> simple(const shard_map&, std::string_view sql, parameters& literals);

  std::size_t entries() const noexcept;
  std::uint64_t hits() const noexcept;
  std::uint64_t misses() const noexcept;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace routing
