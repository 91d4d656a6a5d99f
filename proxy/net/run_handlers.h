// The loop of a thread of pgrotor. Called by server.cc (main, coordinator) and worker.cc, once on each thread.
#pragma once

#include <string_view>

#include <boost/asio/io_context.hpp>

namespace proxy {

// Until the io_context is stopped or has nothing left to do. A handler that throws loses what it was about, is logged under the thread's
// name, and ends nobody else's work.
void run_handlers(boost::asio::io_context&, std::string_view thread);

}  // namespace proxy
