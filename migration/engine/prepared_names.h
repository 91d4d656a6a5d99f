// Names of prepared transactions, unique over all shards as PostgreSQL has them unique over the databases of a cluster: COMMIT PREPARED could
// not tell which one is meant otherwise. Whoever is about to prepare one takes its name, for which the shards are asked, and keeps it until the
// shard has answered, so that no two clients of this process prepare the same one at a time. Nothing is seen of who prepares past pgrotor at
// the same moment. Owned by the coordinator and by those who keep names, who may be on any thread; works on the coordinator's.
#pragma once

#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "migration/engine/engine.h"
#include "migration/engine/kept_connection.h"

namespace migration {

class prepared_names : public std::enable_shared_from_this<prepared_names> {
 public:
  explicit prepared_names(engine& e) : engine_(e) {}

  // A name that nobody else gets while this lives. Any thread.
  class claim {
   public:
    claim() = default;
    claim(std::shared_ptr<prepared_names> who, std::string name) : who_(std::move(who)), name_(std::move(name)) {}
    claim(claim&&) = default;
    claim& operator=(claim&& other) noexcept {
      std::swap(who_, other.who_);
      std::swap(name_, other.name_);
      return *this;
    }
    ~claim();
    const std::string& name() const noexcept { return name_; }

   private:
    std::shared_ptr<prepared_names> who_;
    std::string name_;
  };

  // Asks all shards but the one that will say so itself. Throws refused: 42710 when the name is in use, 08006 and the like when a shard cannot
  // say. Any executor: hops to the coordinator's own.
  task<claim> take(std::string name, std::optional<routing::shard_id> but);

 private:
  // A connection of its own: that of a client's pool may be what others wait for who prepare.
  struct asked_shard {
    async_mutex turn;
    kept_connection connection;
    clock::time_point failed_at{};
    std::exception_ptr failed;
  };
  task<claim> take_here(std::string name, std::optional<routing::shard_id> but);
  task<bool> has(routing::shard_id, std::string name);
  task<bool> ask(asked_shard&, routing::shard_id, std::string name);

  engine& engine_;
  std::set<std::string> taken_;
  std::map<routing::shard_id, asked_shard> shards_;
};

}  // namespace migration
