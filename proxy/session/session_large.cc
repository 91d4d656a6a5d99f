// Messages that are too large to be gathered. A Bind is placed by its front: the names, and the values that say where it runs. It ends a
// pipeline as Flush does, but tells the server nothing, and what is still to come of it is passed on as it comes, as CopyData is; so is a
// FunctionCall, of which nothing has to be known. What is refused is skipped without being kept. Declared in proxy/session/session.h.
#include <algorithm>

#include "proxy/session/session.h"

namespace proxy {

namespace {

constexpr std::size_t large_message = 1u << 20;
// PostgreSQL takes 0x3fffffff; what it calls a statement may be longer than what the client does.
constexpr std::size_t largest_message = 0x3fffff00;

// How many of a Bind's values have to be known to place the statement.
std::size_t values_needed(const routing::statement_plan& plan) {
  std::size_t needed = 0;
  const auto need = [&needed](std::size_t index) { needed = std::max(needed, index + 1); };
  for (const auto& key : plan.keys)
    if (const auto* index = std::get_if<std::size_t>(&key.value)) need(*index);
  for (const auto& setting : plan.effects.settings)
    if (const auto* index = std::get_if<std::size_t>(&setting)) need(*index);
  for (const auto& call : plan.effects.calls)
    for (const auto& part : {call.name, call.value})
      if (const auto* index = std::get_if<std::size_t>(&part)) need(*index);
  if (!plan.execute) return needed;
  for (const auto& argument : plan.execute->arguments)
    if (argument.parameter) need(*argument.parameter);
  return needed;
}

}  // namespace

// At `at` of the input, where it is not there whole.
bool session::is_streamed(const protocol::frame_header& header, std::size_t at) const noexcept {
  return header.size > std::min(large_message, w_.settings.max_message_bytes) && header.size <= largest_message && in_.size() < at + header.size;
}

// Gathers so much of it as has to be known, then runs the pipeline up to here. One that needs more than may be gathered is refused there.
bool session::take_front(const protocol::frame_header& bind) {
  const auto whole = scanned_ + bind.size, size = in_.size(), most = std::min(whole, w_.settings.max_message_bytes);
  const auto front = front_needed(in_.view().substr(scanned_ + protocol::frame_header_size));
  const auto needed = scanned_ + protocol::frame_header_size + std::min<std::size_t>(front, bind.size);
  // Twice of what is here: not looked at again after each of many reads.
  if (front > 0 && needed <= most) return have_whole(std::max(needed, std::min(2 * size, most))), closing_ || read_client();
  scanned_ = 0;
  skip_bytes_ = whole - size;
  const bool done = batch_now(in_.view(), 'B');
  taken('B', size, done);
  return true;
}

// 0: nothing more. Else so many bytes of its body, as decode_bind_front() says.
std::size_t session::front_needed(std::string_view bind_body) {
  auto& bind = w_.bind;
  if (const auto needed = protocol::decode_bind_front(bind_body, 0, bind)) return needed;
  const auto statement = statement_ahead(bind.statement);
  const auto* plan = plan_of(statement);
  return plan ? protocol::decode_bind_front(bind_body, values_needed(*plan), bind) : 0;
}

// What the client's name will mean behind the messages [0, scanned_) of the input, which have not been read yet.
statement_ptr session::statement_ahead(std::string_view name) {
  auto found = names_.find(name);
  auto frames = in_.view().substr(0, scanned_);
  while (!frames.empty()) {
    protocol::frame_header header;
    protocol::read_header(frames, protocol::peer::frontend, protocol::max_frame_size, header);
    const auto body = frames.substr(0, header.size).substr(protocol::frame_header_size);
    frames.remove_prefix(header.size);
    const auto parse = header.type == 'P' ? protocol::decode_parse(body) : std::nullopt;
    if (parse && parse->name == name) found = w_.statements.find_or_make(parse->sql, parse->types, !name.empty(), statement_scope());
    const auto close = header.type == 'C' ? protocol::decode_close(body) : std::nullopt;
    if (close && close->kind == 'S' && close->name == name) found = nullptr;
  }
  return found;
}

// The values that matter into literals_, or why not.
std::optional<protocol::notice> session::read_front(const batch_item& item) {
  const auto needed = protocol::decode_bind_front(item.body(), values_needed(*item.plan), w_.bind);
  if (needed == 0) return keep_values(item), std::nullopt;
  if (needed > item.size() - protocol::frame_header_size) return make_error(sqlstate::protocol_violation, "invalid message format");
  return make_error(sqlstate::program_limit, "parameters in front of the shard key are too large",
                    "What decides where the statement runs has to be in the first " + std::to_string(w_.settings.max_message_bytes) +
                        " bytes of a large Bind message.",
                    "Give the shard key a parameter with a lower number than the large ones, or raise [limits] max_message_bytes.");
}

}  // namespace proxy
