// Every metric of pgrotor: names and help texts live in metrics.cc and nowhere else. A scrape is a copy of what was counted, so that
// making the text takes no lock. Called by the HTTP server (main's thread); SHOW STATS uses the same table of counters.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include "migration/coordinator/coordinator.h"
#include "migration/engine/engine.h"
#include "proxy/counters/counters.h"
#include "proxy/counters/load.h"

namespace proxy {

class worker;

struct counter_field {
  std::string_view name;  // Prometheus rules: pgrotor_, base unit, _total for what only grows
  std::string_view help;
  std::uint64_t counters::*member;
  bool gauge = false;
  double scale = 1;       // of the integer to the base unit
};
std::span<const counter_field> counter_fields() noexcept;

struct process_figures {
  double cpu_seconds = 0, start_time_seconds = 0;
  std::uint64_t resident_bytes = 0, open_fds = 0, max_fds = 0;
};
process_figures read_process();

struct figures {
  counters of_workers;
  std::uint64_t workers = 0, generation = 0;
  migration::coordinator::counts migrations;
  migration::term_news term;
  load of_pools;                    // of all workers
  std::vector<std::string> shards;  // of the map
  std::vector<migration::coordinator::migration_figures> moves;
  process_figures process;
};

class scrape : public prometheus::Collectable {
 public:
  explicit scrape(figures taken) : taken_(std::move(taken)) {}
  std::vector<prometheus::MetricFamily> Collect() const override;
  std::string text() const;  // exposition format 0.0.4

 private:
  figures taken_;
};

migration::task<counters> sum_counters(std::span<const std::unique_ptr<worker>>);
migration::task<load> sum_load(std::span<const std::unique_ptr<worker>>);

}  // namespace proxy
