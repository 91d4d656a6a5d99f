// What the console asks of the process as a whole. Called from workers' threads; the work is done on main's.
#pragma once

#include "migration/pg/pg.h"
#include "migration/plan/commands.h"
#include "proxy/config/config.h"

namespace proxy {

inline const migration::column_list reload_columns{"setting", "before", "now", "effect"};

class process_control {
 public:
  // Reads the configuration and the users file again: one row a changed setting. Throws migration::refused with every problem, and
  // then nothing has changed.
  virtual migration::task<migration::answer> reload() = 0;
  virtual migration::task<config> configuration() = 0;  // what is in force
  virtual void shut_down() = 0;  // as SIGTERM

 protected:
  ~process_control() = default;
};

}  // namespace proxy
