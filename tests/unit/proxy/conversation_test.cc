// Conversations with a server: what they decide, from scripted bytes that end or stop at each place in turn; and the loop around them, over
// real sockets.
#include "proxy/shard/conversation.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <doctest/doctest.h>

#include "loopback.h"
#include "protocol/wire.h"
#include "proxy/config/errors.h"

namespace proxy {
namespace {

using namespace std::chrono_literals;
using ending = conversation::ending;

std::string frame(char type, std::string_view body = "") {
  std::string out(1, type);
  protocol::append_int(out, static_cast<std::int32_t>(body.size() + 4));
  return out.append(body);
}

std::string ready(char status = 'I') { return frame('Z', std::string_view(&status, 1)); }

std::string error(std::string severity) {
  auto notice = make_error("57P01", "its last words");
  notice.severity = std::move(severity);
  std::string out;
  protocol::append_error(out, notice);
  return out;
}

// Notes the types of what it hears, up to ReadyForQuery; gives up at an error.
class types final : public framed_conversation {
 public:
  explicit types(std::uint32_t largest = protocol::max_frame_size) : framed_conversation(largest) {}
  std::string heard;

 private:
  void hear_frame(char type, std::string_view whole) override {
    CHECK(whole.front() == type);
    heard += type;
    if (type == 'E') end(ending::failed);
    if (type == 'Z') end(ending::answered);
  }
};

// As a socket gives it: in pieces of `piece` bytes. What is left over.
std::string say(conversation& talk, std::string_view bytes, std::size_t piece) {
  std::string in;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    in += bytes.substr(at, piece);
    in.erase(0, talk.take(in));
  }
  return in;
}

constexpr std::size_t pieces[] = {1, 3, 7, 1000};
const std::string answer = frame('T', "columns") + frame('D', std::string(30, 'x')) + frame('N') + frame('C', "SELECT 1") + ready();

}  // namespace

TEST_CASE("conversation: whole messages are handed out, in whatever pieces they come, and nothing behind the last one") {
  for (const auto piece : pieces) {
    CAPTURE(piece);
    types talk;
    CHECK(say(talk, answer + frame('A', "news"), piece) == frame('A', "news"));
    CHECK(talk.heard == "TDNCZ");
    CHECK(talk.how() == ending::answered);
    CHECK(words_of(talk.how()).empty());
  }
}

TEST_CASE("conversation: wherever the input ends or the time is up, it is known, and what has been answered stays answered") {
  for (const auto piece : pieces) {
    for (std::size_t size = 0; size <= answer.size(); ++size) {
      CAPTURE(piece);
      CAPTURE(size);
      const bool all = size == answer.size();
      types lost, silent;
      auto in = say(lost, std::string_view(answer).substr(0, size), piece);
      CHECK(lost.is_open() == !all);
      lost.take(in, true);
      CHECK(lost.how() == (all ? ending::answered : ending::lost));
      say(silent, std::string_view(answer).substr(0, size), piece);
      silent.time_is_up();
      CHECK(silent.how() == (all ? ending::answered : ending::silent));
    }
  }
}

TEST_CASE("conversation: what came with the end of the input is heard first") {
  types talk, half;
  CHECK(talk.take(answer, true) == answer.size());
  CHECK(talk.how() == ending::answered);
  const auto part = std::string_view(answer).substr(0, answer.size() - 1);
  const auto used = half.take(part, true);
  CHECK(half.heard == "TDNC");
  CHECK(half.is_open());
  half.take(part.substr(used), true);
  CHECK(half.how() == ending::lost);
}

TEST_CASE("conversation: what makes no sense ends it, and so does the one who listens") {
  const std::string nonsense[] = {"x....", std::string("Z\0\0\0\1", 5), frame('D', std::string(100, 'x'))};
  for (const auto& bytes : nonsense) {
    CAPTURE(bytes);
    types talk(100);
    CHECK(say(talk, frame('S') + bytes, 1) == bytes);
    CHECK(talk.heard == "S");
    CHECK(talk.how() == ending::failed);
    talk.take("", true);
    talk.time_is_up();
    CHECK(talk.how() == ending::failed);
  }
  types refused;
  CHECK(say(refused, frame('E') + ready(), 1000) == ready());
  CHECK(refused.how() == ending::failed);
}

TEST_CASE("conversation: a message that must be there whole is asked for until it is there") {
  types talk;
  const auto large = frame('D', std::string(1000, 'x'));
  CHECK(talk.take(large.substr(0, 4)) == 0);
  CHECK(talk.whole() == 0);
  CHECK(talk.take(large.substr(0, 5)) == 0);
  CHECK(talk.whole() == large.size());
  CHECK(talk.take(large) == large.size());
  CHECK(talk.whole() == 0);
}

TEST_CASE("conversation: an exchange is heard up to the next thing that it has to tell") {
  struct {
    const char* name;
    std::string said;
    ending how;
    exchange::event what;
    const char* why;
  } const rows[] = {
      {"answer", answer, ending::answered, exchange::event::captured, ""},
      {"refusal", error("ERROR") + ready('E'), ending::answered, exchange::event::captured, ""},
      {"end", error("FATAL"), ending::failed, exchange::event::fatal, "its last words"},
      {"nonsense", frame('1'), ending::failed, exchange::event::unexpected, "The shard sent a message that does not belong here."},
  };
  for (const auto& row : rows) {
    for (const auto piece : pieces) {
      CAPTURE(row.name);
      CAPTURE(piece);
      exchange answers;
      answers.expect(request::query, fate::capture);
      std::string client;
      exchange_conversation talk(answers, client);
      say(talk, frame('A', std::string("\0\0\0\7news\0\0", 10)) + row.said, piece);
      CHECK(client.empty());
      CHECK(answers.take_notifications() == frame('A', std::string("\0\0\0\7news\0\0", 10)));
      CHECK(talk.how() == row.how);
      CHECK(talk.what() == row.what);
      if (row.how != ending::answered) CHECK(talk.why() == row.why);
    }
  }
}

TEST_CASE("conversation: with an exchange, a connection that breaks and one that is silent") {
  exchange answers;
  answers.expect(request::query, fate::capture);
  std::string client;
  exchange_conversation lost(answers, client), silent(answers, client);
  lost.take("", true);
  silent.take("");
  silent.time_is_up();
  CHECK(lost.why() == "The shard closed the connection.");
  CHECK(silent.why() == "The shard did not answer in time.");
}

namespace {

// A server over loopback, and its shard's end of the connection.
struct wire : far_end {
  std::unique_ptr<server_connection> server;

  wire(boost::asio::io_context& io, wakeup& wake) : server(std::make_unique<server_connection>(io)) {
    const loopback_listener listening;
    REQUIRE(server->socket.start_connect(boost::asio::generic::stream_protocol::endpoint(listening.address(), listening.size())));
    far = listening.accept(0);
    server->socket.listen(&wake);
  }
  std::string heard() const {
    char room[1000];
    const auto got = ::recv(far, room, sizeof room, MSG_DONTWAIT);
    return {room, got > 0 ? static_cast<std::size_t>(got) : 0};
  }
};

template <typename T>
T finish(boost::asio::io_context& io, task<T> work) {
  std::optional<T> result;
  boost::asio::co_spawn(io, std::move(work), [&](std::exception_ptr failed, T value) {
    REQUIRE(!failed);
    result = std::move(value);
  });
  io.restart();
  while (!result && io.run_one() > 0) continue;
  REQUIRE(result);
  return std::move(*result);
}

}  // namespace

TEST_CASE("run_alone: a connection that breaks at each place in turn") {
  for (std::size_t size = 0; size <= answer.size(); ++size) {
    CAPTURE(size);
    boost::asio::io_context io(1);
    wakeup wake(io);
    wire pair(io, wake);
    pair.say(std::string_view(answer).substr(0, size));
    const bool all = size == answer.size();
    if (!all) pair.hang_up();
    alone_answer wanted;
    CHECK(finish(io, run_alone(*pair.server, "SELECT 1", wake, clock::time_point::max(), &wanted)) == (all ? ending::answered : ending::lost));
    if (all) CHECK(pair.heard() == frame('Q', std::string_view("SELECT 1", 9)));
    if (all) CHECK(wanted.rows == frame('D', std::string(30, 'x')));
  }
}

TEST_CASE("run_alone: what a server said is heard where nothing can be sent to it any more") {
  for (const bool said : {true, false}) {
    CAPTURE(said);
    boost::asio::io_context io(1);
    wakeup wake(io);
    wire pair(io, wake);
    CHECK(pair.server->socket.write("it never reads this").bytes > 0);
    if (said) pair.say(error("FATAL"));
    pair.hang_up();  // which resets the connection: a write fails
    alone_answer wanted;
    CHECK(finish(io, run_alone(*pair.server, "SELECT 1", wake, clock::time_point::max(), &wanted)) == ending::lost);
    CHECK(pair.server->output_pending());
    CHECK(wanted.refusal().has_value() == said);
  }
}

TEST_CASE("run_alone: refused, left in a transaction, with more behind the answer, or silent") {
  const auto refusal = error("ERROR");
  struct {
    std::string said, failure;
    ending how;
  } const rows[] = {
      {refusal + ready(), refusal, ending::failed},
      {frame('C', "BEGIN") + ready('T'), "", ending::failed},
      {answer + frame('N'), "", ending::failed},
      {answer.substr(0, 40), "", ending::silent},
  };
  for (const auto& row : rows) {
    CAPTURE(row.said);
    boost::asio::io_context io(1);
    wakeup wake(io);
    wire pair(io, wake);
    pair.say(row.said);
    alone_answer wanted;
    CHECK(finish(io, run_alone(*pair.server, "SELECT 1", wake, clock::now() + (row.how == ending::silent ? 20ms : 1min), &wanted)) == row.how);
    CHECK(wanted.failure == row.failure);
    const auto why = wanted.refusal();
    CHECK(why.has_value() == !row.failure.empty());
    if (why) CHECK(why->message == "its last words");
  }
}

namespace {

task<std::string> ask_three(wire& one, wire& two, wire& three, wakeup& wake) {
  types first, second, third;
  const party all[] = {{one.server.get(), &first}, {two.server.get(), &second}, {three.server.get(), &third}};
  for (const auto& each : all) each.server->out = "question";
  const auto deadline = clock::now() + 50ms;
  co_await converse(all, wake, deadline);
  std::string told;
  for (const auto& each : all) told.append(words_of(each.talk->how())).append("|");
  co_return told;
}

}  // namespace

TEST_CASE("converse: several servers at once, each of which ends as it does") {
  boost::asio::io_context io(1);
  wakeup wake(io);
  wire one(io, wake), two(io, wake), three(io, wake);
  two.hang_up();
  three.say(answer);
  CHECK(finish(io, ask_three(one, two, three, wake)) == "The shard did not answer in time.|The shard closed the connection.||");
  CHECK(one.heard() == "question");
  CHECK(three.heard() == "question");
}

}  // namespace proxy
