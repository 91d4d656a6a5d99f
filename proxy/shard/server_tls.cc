#include "proxy/shard/server_tls.h"

#include <sys/stat.h>

#include <array>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "protocol/frontend.h"
#include "proxy/config/log.h"

namespace proxy {

namespace {

constexpr std::size_t max_contexts = 1'000;

struct kept_context {
  std::shared_ptr<const tls_context> context;
  std::array<std::int64_t, 3> changed{};  // of certificate, key, ca
};

std::int64_t changed_at(const std::string& file) {
  struct stat facts {};
  if (file.empty() || ::stat(file.c_str(), &facts) != 0) return 0;
  return static_cast<std::int64_t>(facts.st_mtim.tv_sec) * 1'000'000'000 + facts.st_mtim.tv_nsec;
}

// Until the stream may have moved on. False: the deadline passed.
task<bool> wait_for(stream& socket, wakeup& wake, clock::time_point deadline) {
  socket.watch_read();
  socket.watch_write();
  co_return co_await wake.wait(deadline);
}

// The first address that can be connected to; false: none.
task<bool> connect_any(stream& socket, const shard_location& where, wakeup& wake, clock::time_point deadline, std::string& host) {
  for (const auto& address : where.addresses) {
    const auto endpoints = co_await resolve(address);
    for (const auto& to : endpoints) {
      if (to.protocol().family() == AF_UNIX || !socket.start_connect(to)) continue;
      socket.listen(&wake);
      socket.watch_write();
      const bool in_time = co_await wake.wait(deadline);
      if (!in_time || !socket.writable() || socket.connect_error() != 0) continue;
      host = address.host.empty() ? address.hostaddr : address.host;
      co_return true;
    }
  }
  co_return false;
}

}  // namespace

tls_loaded shard_tls_context(const tls_files& files) {
  thread_local std::map<std::tuple<std::string, std::string, std::string>, kept_context> kept;
  if (kept.size() >= max_contexts) kept.clear();
  auto& mine = kept[{files.certificate, files.key, files.ca}];
  const std::array changed{changed_at(files.certificate), changed_at(files.key), changed_at(files.ca)};
  if (mine.context && mine.changed == changed) return {mine.context, {}};
  auto loaded = tls_context::for_shard(files);
  if (!loaded.context && mine.context) log_warning("{}; connections to shards go on with what was read before", loaded.problem);
  if (loaded.context) mine.context = std::move(loaded.context);
  if (!mine.context) return {nullptr, std::move(loaded.problem)};
  mine.changed = changed;
  return {mine.context, {}};
}

task<encryption> encrypt(stream& socket, byte_queue& in, tls_target target, wakeup& wake, clock::time_point deadline, std::string& why) {
  constexpr auto late = "The shard did not answer in time.", gone = "The shard closed the connection.";
  std::string request;
  protocol::append_ssl_request(request);
  bool in_time = true;
  if (socket.write(request).closed) co_return why = gone, encryption::failed;  // eight bytes find room in a fresh socket
  while (in.empty()) {
    if (socket.readable() && socket.read(in).closed) co_return why = gone, encryption::failed;
    if (!in.empty()) break;
    in_time = co_await wait_for(socket, wake, deadline);
    if (!in_time) co_return why = late, encryption::failed;
  }
  const char answer = in.view().front();
  const bool alone = in.size() == 1;
  in.consume(in.size());
  in.release_if_empty();
  if (answer != 'S' && answer != 'N') co_return why = "The answer to SSLRequest is not that of a PostgreSQL server.", encryption::failed;
  // Whatever follows was sent before anything was agreed upon: somebody may have put it in (CVE-2021-23222).
  if (!alone) co_return why = "Unencrypted bytes followed the answer to SSLRequest.", encryption::failed;
  if (answer == 'N') co_return encryption::refused;
  socket.start_tls(std::make_unique<tls_channel>(target.context, socket.native(), target.host, target.check_host));
  auto step = socket.handshake();
  while (step == tls_channel::step::blocked) {
    in_time = co_await wait_for(socket, wake, deadline);
    if (!in_time) co_return why = "The TLS handshake took too long.", encryption::failed;
    step = socket.handshake();
  }
  if (step == tls_channel::step::done) co_return encryption::done;
  why = fmt::format("TLS: {}.", socket.tls()->failure());
  co_return encryption::failed;
}

task<std::string> probe_certificates(boost::asio::io_context& io, std::string dsn, clock::time_point deadline) {
  const auto where = parse_shard_dsn(dsn);
  if (!where.error.empty() || where.ssl < sslmode::verify_ca) co_return where.error;
  auto loaded = shard_tls_context(where.files);
  if (!loaded.context) co_return loaded.problem;
  tls_target target;
  target.context = std::move(loaded.context);
  target.check_host = where.ssl == sslmode::verify_full;
  wakeup wake(io);
  stream socket(io);
  const bool connected = co_await connect_any(socket, where, wake, deadline, target.host);
  if (!connected) co_return std::string();
  byte_queue in;
  std::string why;
  const auto became = co_await encrypt(socket, in, target, wake, deadline, why);
  if (became == encryption::refused) co_return std::string("the server speaks no TLS, and sslmode demands it");
  if (became == encryption::done) co_return std::string();
  if (why.ends_with('.')) why.pop_back();
  co_return fmt::format("sslrootcert={}: {}", where.files.ca, why);
}

}  // namespace proxy
