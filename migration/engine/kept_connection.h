// A connection that is kept from one question to the next. That it broke meanwhile is found out by asking; then a fresh one is asked, once.
// For one question at a time; coordinator's thread.
#pragma once

#include <memory>

#include "migration/base/task.h"
#include "migration/pg/pg.h"

namespace migration {

class kept_connection {
 public:
  // `question` gives a task<Answer>, and may be asked twice; `connect` one of a connection. Throws what they throw.
  template <typename Answer, typename Connect, typename Question>
  task<Answer> ask(const Connect& connect, const Question& question) {
    while (true) {
      const bool fresh = !open_ || open_->broken();
      if (fresh) {
        open_.reset();
        open_ = co_await connect();
      }
      try {
        co_return co_await question(*open_);
      } catch (const pg::sql_error& error) {
        if (fresh || !error.connection_lost) throw;
      }
      open_.reset();
    }
  }
  void forget() noexcept { open_.reset(); }

 private:
  std::unique_ptr<pg::connection> open_;
};

}  // namespace migration
