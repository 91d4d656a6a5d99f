// Both roles of SCRAM against a peer that says anything: the first line of an input goes in as the first message, the rest as
// the second, with "@" standing for the nonce of this side. The crypto functions are cheap sums, so the way in is short.
#include "protocol/scram.h"


#include "frames.h"

using namespace protocol;

namespace {

scram_key sum(std::string_view key, std::string_view data) {
  scram_key out{};
  for (std::size_t i = 0; i < key.size() + data.size(); ++i)
    out[i % out.size()] = static_cast<unsigned char>(out[i % out.size()] * 31 + (i < key.size() ? key[i] : data[i - key.size()]));
  return out;
}

const scram_crypto crypto{sum, [](std::string_view data) { return sum("", data); },
                          [](std::string_view password, std::string_view salt, std::uint32_t) { return sum(password, salt); },
                          [] { return std::string("nonce"); }};

// One nonce for the peer to echo without guessing it byte by byte.
std::string with_nonce(std::string_view text) {
  std::string out;
  for (const char c : text) c == '@' ? out += "nonce" : out += c;
  return out;
}

void play_server(const std::string& first, const std::string& second, bool plus) {
  const auto verifier = make_scram_verifier(crypto, "pencil", "salt", 1);
  scram_server server(crypto, verifier, plus ? "binding" : "");
  if (!server.first(first, plus)) return;
  if (server.final(second)) fuzz::require(server.keys().server_key == verifier.server_key && !server.final(second));
}

void play_client(const std::string& first, const std::string& second) {
  scram_client client(crypto, std::string("pencil"));
  client.first();
  const auto answer = client.next(first);
  fuzz::require(answer.has_value() || !client.verify(second));
  fuzz::require(!client.next(first));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view in{reinterpret_cast<const char*>(data), size};
  const auto line = in.find('\n');
  const auto first = with_nonce(in.substr(0, line));
  const auto second = with_nonce(line == std::string_view::npos ? std::string_view{} : in.substr(line + 1));
  play_server(first, second, false);
  play_server(first, second, true);
  play_client(first, second);
  if (const auto verifier = parse_scram_verifier(in)) fuzz::require(parse_scram_verifier(format_scram_verifier(*verifier)).has_value());
  if (const auto raw = base64_decode(in)) fuzz::require(base64_encode(*raw) == in);
  return 0;
}
