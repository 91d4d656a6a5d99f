// Renews the term of this process and watches the catalog's connection, over a connection of its own, so that nothing that the
// coordinator does delays it. One for each coordinator; coordinator's thread. The states are in migration/README.md.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/steady_timer.hpp>

#include "migration/engine/engine.h"

namespace migration {

class term_keeper {
 public:
  explicit term_keeper(engine&);

  // Until give_back(). Throws superseded when another process has begun a term.
  task<void> run();
  // After the last durable step: gives the lease back, so that a successor need not wait, and ends run().
  void give_back();

 private:
  task<void> round();
  task<void> renew();
  task<void> open();
  void note(const std::string& trouble);

  engine& engine_;
  std::unique_ptr<pg::connection> connection_;
  boost::asio::steady_timer wake_;
  milliseconds pause_;
  std::string trouble_;  // as last logged
  bool lapsed_ = false, ending_ = false;
};

}  // namespace migration
