#include "proxy/net/tls.h"

#include <sys/socket.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "proxy/net/stream.h"
#include "scratch.h"

namespace {

using proxy::tls_channel;

// A key and a certificate for it, signed by itself, in files.
proxy::tls_files make_files(const scratch& folder, const std::string& name, long valid_for = 3600) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> made(X509_new(), &X509_free);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -7200);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), valid_for);
  X509_set_pubkey(made.get(), key.get());
  auto* subject = X509_get_subject_name(made.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(made.get(), subject);
  X509_sign(made.get(), key.get(), EVP_sha384());
  proxy::tls_files files{folder.write(name + ".crt", ""), folder.write(name + ".key", ""), ""};
  std::FILE* out = std::fopen(files.certificate.c_str(), "w");
  PEM_write_X509(out, made.get());
  std::fclose(out);
  out = std::fopen(files.key.c_str(), "w");
  PEM_write_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(out);
  ::chmod(files.key.c_str(), 0600);
  return files;
}

// Two ends of one connection, both of this program.
struct pair {
  boost::asio::io_context io;
  std::unique_ptr<proxy::stream> server, client;

  explicit pair(const proxy::tls_files& files) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    server = std::make_unique<proxy::stream>(io, ends[0]);
    client = std::make_unique<proxy::stream>(io, ends[1]);
    const auto offered = proxy::tls_context::for_clients(files);
    const auto demanded = proxy::tls_context::for_shard({"", "", files.certificate});
    REQUIRE(offered.context);
    REQUIRE(demanded.context);
    server->start_tls(std::make_unique<tls_channel>(offered.context, ends[0]));
    client->start_tls(std::make_unique<tls_channel>(demanded.context, ends[1], "localhost", false));
    auto at_server = tls_channel::step::blocked, at_client = at_server;
    for (int turn = 0; turn < 5 && (at_server != tls_channel::step::done || at_client != tls_channel::step::done); ++turn) {
      if (at_client != tls_channel::step::done) at_client = client->handshake();
      if (at_server != tls_channel::step::done) at_server = server->handshake();
    }
    REQUIRE(at_server == tls_channel::step::done);
    REQUIRE(at_client == tls_channel::step::done);
  }
  // Lets what is watched be seen.
  void poll() {
    server->watch_read();
    server->watch_write();
    client->watch_read();
    client->watch_write();
    io.restart();
    io.poll();
  }
};

std::string some_text(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 23);
  return text;
}

}  // namespace

TEST_CASE("tls: a stream stays readable while OpenSSL may hold bytes that the socket no longer shows") {
  const scratch folder;
  pair both(make_files(folder, "server"));
  const auto text = some_text(40'000);
  REQUIRE(both.server->write(text).bytes == text.size());
  both.poll();
  REQUIRE(both.client->readable());
  proxy::byte_queue in;
  const auto first = both.client->read(in);
  CHECK(first.bytes == proxy::byte_queue::block_size);
  CHECK_FALSE(first.blocked);
  CHECK(both.client->readable());
  CHECK_FALSE(both.client->quiet());
  const auto rest = both.client->read(in, text.size());
  CHECK(rest.bytes == text.size() - first.bytes);
  CHECK_FALSE(both.client->readable());
  CHECK(both.client->quiet());
  CHECK(in.view() == text);
}

TEST_CASE("tls: a write that is blocked goes on from memory that has moved and grown") {
  const scratch folder;
  pair both(make_files(folder, "server"));
  auto text = std::make_unique<std::string>(some_text(3'000'000));
  std::size_t sent = both.server->write(*text).bytes;
  CHECK(sent < text->size());
  CHECK_FALSE(both.server->writable());
  text = std::make_unique<std::string>(*text + "and more");
  proxy::byte_queue in;
  for (int turn = 0; turn < 10'000 && in.size() < text->size(); ++turn) {
    both.poll();
    if (both.client->readable()) both.client->read(in, text->size());
    if (both.server->writable() && sent < text->size()) {
      const std::string own = text->substr(sent, 100), relayed = text->substr(std::min(text->size(), sent + 100));
      const iovec pieces[] = {{const_cast<char*>(own.data()), own.size()}, {const_cast<char*>(relayed.data()), relayed.size()}};
      sent += both.server->write(pieces).bytes;
    }
  }
  CHECK(in.view() == *text);
}

TEST_CASE("tls: the end comes after all that was said before it") {
  const scratch folder;
  pair both(make_files(folder, "server"));
  both.server->write("last words");
  both.server->close();
  both.poll();
  proxy::byte_queue in;
  const auto words = both.client->read(in);
  CHECK(in.view() == "last words");
  CHECK_FALSE(words.closed);
  both.poll();
  REQUIRE(both.client->readable());
  CHECK(both.client->read(in).closed);
  CHECK(both.client->read(in).closed);
}

TEST_CASE("tls: a connection that is cut without a goodbye is closed, and stays so") {
  const scratch folder;
  pair both(make_files(folder, "server"));
  ::shutdown(both.server->native(), SHUT_RDWR);
  both.poll();
  proxy::byte_queue in;
  CHECK(both.client->read(in).closed);
  CHECK(both.client->read(in).closed);
  CHECK(both.client->write("x").closed);
}

TEST_CASE("tls: garbage after the handshake closes the connection") {
  const scratch folder;
  pair both(make_files(folder, "server"));
  REQUIRE(::send(both.server->native(), "not a record at all", 19, 0) == 19);
  both.poll();
  proxy::byte_queue in;
  CHECK(both.client->read(in).closed);
}

TEST_CASE("tls: both sides bind to the same certificate, hashed as it was signed") {
  const scratch folder;
  pair both(make_files(folder, "server"));
  CHECK(both.server->tls()->end_point().size() == 48);  // SHA-384
  CHECK(both.server->tls()->end_point() == both.client->tls()->end_point());
  CHECK(both.client->tls()->alpn_is_postgresql());
  CHECK(std::string(both.client->tls()->version()) == "TLSv1.3");
}

TEST_CASE("tls: a handshake that must write first waits for the socket to take it, without turning round and round") {
  const scratch folder;
  const auto files = make_files(folder, "server");
  boost::asio::io_context io;
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
  proxy::stream server(io, ends[0]), client(io, ends[1]);
  server.start_tls(std::make_unique<tls_channel>(proxy::tls_context::for_clients(files).context, ends[0]));
  client.start_tls(std::make_unique<tls_channel>(proxy::tls_context::for_shard({}).context, ends[1], "localhost", false));
  REQUIRE(client.handshake() == tls_channel::step::blocked);
  // The socket is filled behind OpenSSL's back, so that the server's certificate finds no room.
  const std::string block(4096, 'x');
  for (ssize_t sent = 1; sent > 0;) sent = ::send(ends[0], block.data(), block.size(), MSG_DONTWAIT);
  struct : proxy::readiness_listener {
    int told = 0;
    void on_ready() override { ++told; }
  } listener;
  server.listen(&listener);
  const auto watch = [&] {
    server.watch_read();
    server.watch_write();
    io.restart();
    io.poll();
  };
  REQUIRE(server.handshake() == tls_channel::step::blocked);
  CHECK_FALSE(server.readable());
  CHECK_FALSE(server.writable());
  watch();
  CHECK(listener.told == 0);
  std::string stuffing(1 << 20, '\0');
  while (::recv(ends[1], stuffing.data(), stuffing.size(), MSG_DONTWAIT) > 0) {}
  watch();
  CHECK(listener.told == 1);
  CHECK(server.readable());
  CHECK(server.writable());
  CHECK(server.handshake() == tls_channel::step::blocked);
  CHECK(client.handshake() == tls_channel::step::done);
  CHECK(server.handshake() == tls_channel::step::done);
}

TEST_CASE("tls: what is wrong with files is said with the file's name") {
  const scratch folder;
  const auto good = make_files(folder, "good"), other = make_files(folder, "other"), old = make_files(folder, "old", -10);
  const auto problem = [](const proxy::tls_files& files) { return proxy::tls_context::for_clients(files).problem; };
  CHECK(problem(good).empty());
  CHECK(problem({"/nowhere", good.key, ""}) == "/nowhere: No such file or directory");
  CHECK(problem({good.certificate, other.key, ""}).starts_with(other.key + ": not a private key without passphrase in PEM that fits " + good.certificate));
  CHECK(problem({good.key, good.key, ""}).starts_with(good.key + ": not a certificate in PEM"));
  CHECK(problem({good.certificate, good.key, good.key}).starts_with(good.key + ": holds no certificates in PEM"));
  ::chmod(other.key.c_str(), 0640);
  CHECK(problem(other) == other.key + ": the private key can be read by others; chmod 0600");
  CHECK(proxy::tls_context::for_clients(good).context->worry().empty());
  CHECK(proxy::tls_context::for_clients(old).context->worry().starts_with("the certificate expired on "));
  CHECK(proxy::tls_context::for_shard({}).context);
  CHECK(proxy::tls_context::for_shard({"", "", "/nowhere"}).problem == "/nowhere: No such file or directory");
}
