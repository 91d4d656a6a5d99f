// The net below the reactor: looks at every watched socket of an io_context once in a while, and ends the wait of one for which there is
// something that no event has told. There is none unless pgrotor has a bug, so what it finds is counted (metric
// pgrotor_sockets_overlooked_total). Used by watched_socket and by a worker's tick; its io_context's thread only.
#pragma once

#include <poll.h>

#include <cstddef>
#include <vector>

#include <boost/asio/execution_context.hpp>
#include <boost/intrusive/list.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

namespace proxy {

// A socket as the sweep knows it: in the list from enter() until it leaves or is destroyed.
class swept_socket : public boost::intrusive_ref_counter<swept_socket, boost::thread_safe_counter>,
                     public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual ~swept_socket() = default;
  virtual int native() const noexcept = 0;  // below 0: closed
  virtual short awaited() const noexcept = 0;  // POLLIN, POLLOUT: what somebody waits for
  virtual void on_overlooked(bool reads) = 0;  // as the event would have told

 protected:
  bool suspect_ = false;  // something was there at the last look; the next event clears it
  friend class socket_sweep;
};

class socket_sweep final : public boost::asio::execution_context::service {
 public:
  using key_type = socket_sweep;
  static boost::asio::execution_context::id id;
  static constexpr std::size_t visits_a_round = 50;  // ten a second: five seconds a round

  explicit socket_sweep(boost::asio::execution_context& io) : service(io) {}
  void enter(swept_socket& one) noexcept { sockets_.push_back(one); }
  // Looks at its part of the sockets, with one system call. A socket is looked at once a round; what two looks in a row have found is told
  // as the event would have. How many those were.
  std::size_t visit();

 private:
  struct waiting {
    boost::intrusive_ptr<swept_socket> socket;
    bool reads = false;
  };
  void shutdown() override { sockets_.clear(); }
  void gather();
  bool tell(const waiting&, bool something);

  boost::intrusive::list<swept_socket, boost::intrusive::constant_time_size<false>> sockets_;  // those of this round first
  std::size_t left_ = 0, part_ = 0;  // of the round: sockets not looked at yet, sockets a visit
  std::vector<waiting> waiting_;     // of this visit
  std::vector<pollfd> asked_;        // ... and what is asked of them
};

}  // namespace proxy
