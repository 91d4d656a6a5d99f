// One read of a socket, and what it left behind: one system call less for each message than reading until there is nothing. Used by
// stream.cc and, below TLS, by tls_channel.cc; any thread.
#pragma once

#include <sys/types.h>

#include <span>

namespace proxy {

struct received {
  ssize_t bytes = 0;  // as recv() gives it
  int rest = -1;      // bytes that are left; the end of the input counts as one. -1: the kernel did not say
};

// From now on receive() tells the rest, of this TCP socket and of those that it accepts. False: the kernel cannot.
bool ask_for_rest(int native) noexcept;
received receive(int native, std::span<char> room);

}  // namespace proxy
