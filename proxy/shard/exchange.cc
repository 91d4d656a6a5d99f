#include "proxy/shard/exchange.h"

#include <algorithm>

#include "protocol/sqlstate.h"
#include "protocol/wire.h"

namespace proxy {

using protocol::frame_error;
using protocol::frame_header;
using protocol::frame_header_size;

namespace {

// Enough of an ErrorResponse to know severity and SQLSTATE, which PostgreSQL sends first.
constexpr std::size_t error_prefix = 96;
// Errors of requests that the proxy put in are kept whole.
constexpr std::size_t max_kept_error = 64u << 10;
// So are answers to its own questions, notifications and parameters.
constexpr std::size_t max_kept = 1u << 20;
// ... and of parameters between two looks at them, each of which is searched for by its name.
constexpr std::size_t max_reports = 16u << 10;

// Which messages answer a request, and which of them end its answer.
struct answer_types {
  constexpr answer_types(std::string_view within, std::string_view last) {
    for (const char type : within) belongs[static_cast<unsigned char>(type)] = true;
    for (const char type : last) belongs[static_cast<unsigned char>(type)] = completes[static_cast<unsigned char>(type)] = true;
  }
  std::array<bool, 256> belongs{}, completes{};
};
constexpr std::array answers_to = {
    answer_types("TDCIGHWdcV", ""),  // query: ReadyForQuery ends it
    answer_types("", "1"),           // parse
    answer_types("", "2"),           // bind
    answer_types("t", "Tn"),         // describe_statement
    answer_types("", "Tn"),          // describe_portal
    answer_types("DGHWdc", "CIs"),   // execute
    answer_types("", "3"),           // close
    answer_types("", ""),            // sync: ReadyForQuery
    answer_types("I", ""),           // fence: up to the second ReadyForQuery of its own
    answer_types("", ""), answer_types("", ""),
};
static_assert(answers_to.size() == static_cast<std::size_t>(request::emit) + 1);

bool completes(request what, char type) noexcept { return answers_to[static_cast<std::size_t>(what)].completes[static_cast<unsigned char>(type)]; }
bool belongs(request what, char type) noexcept { return answers_to[static_cast<std::size_t>(what)].belongs[static_cast<unsigned char>(type)]; }

std::string_view field(std::string_view body, char code) noexcept {
  while (!body.empty() && body.front() != '\0') {
    const auto end = body.find('\0', 1);
    const auto text = body.substr(1, end == std::string_view::npos ? end : end - 1);
    if (body.front() == code) return text;
    if (end == std::string_view::npos) return {};
    body.remove_prefix(end + 1);
  }
  return {};
}

}  // namespace

// Where feed() is in the input: [run, at) is to be relayed and not yet copied.
struct exchange::cursor {
  std::string_view in;
  std::string& out;
  std::size_t run = 0, at = 0;
  std::string_view rest() const noexcept { return in.substr(at); }
  void cut() {
    out.append(in.substr(run, at - run));
    run = at;
  }
  void drop(std::size_t size) {
    cut();
    run = at += size;
  }
};

void exchange::expect(request what, fate how, std::uint64_t statement, std::uint32_t undo) {
  if (how == fate::capture) {
    rows_.clear();
    failure_.clear();
  }
  queue_.push_back(expected{what, how, false, statement, undo, 0, 0});
}

void exchange::emit(std::string_view frames, std::uint32_t undo) {
  expected e{request::emit, fate::relay, false, 0, undo, static_cast<std::uint32_t>(texts_.size()), static_cast<std::uint32_t>(frames.size())};
  texts_.append(frames);
  queue_.push_back(e);
}

void exchange::expect_failure(std::string_view error_frame) {
  emit(error_frame);
  queue_.back().what = request::bind;
  queue_.back().how = fate::replace;
}

void exchange::tell_instead(std::string_view error_frame) { keep_text(error_frame); }

void exchange::amend(std::span<const amendment> columns) {
  queue_.back().amended = true;
  keep_text(as_bytes(columns));
}

void exchange::keep_text(std::string_view text) {
  queue_.back().text_at = static_cast<std::uint32_t>(texts_.size());
  queue_.back().text_size = static_cast<std::uint32_t>(text.size());
  texts_.append(text);
}

bool exchange::has(request what) const noexcept {
  return std::any_of(queue_.begin() + static_cast<std::ptrdiff_t>(head_), queue_.end(), [what](const expected& e) { return e.what == what; });
}

void exchange::clear() noexcept {
  queue_.clear();
  texts_.clear();
  pending_error_.clear();
  skipped_.clear();
  rows_.clear();
  failure_.clear();
  reports_.clear();
  notifications_.clear();
  last_words_.clear();
  captured_ = fence_reached_ = false;
  doubt_ = doubt::none;
  head_ = remaining_ = held_ready_ = 0;
}

void exchange::pop() noexcept {
  if (++head_ < queue_.size()) return;
  queue_.clear();
  texts_.clear();
  head_ = 0;
}

exchange::step exchange::feed(std::string_view in, std::string& out) {
  cursor c{in, out};
  step result;
  if (std::exchange(captured_, false)) {
    rows_.clear();
    failure_.clear();
  }
  while (result.what == event::need_more) {
    if (remaining_ > 0) {
      const auto part = std::min(remaining_, in.size() - c.at);
      if (part == 0) break;
      remaining_ -= part;
      if (relay_remaining_) c.at += part;
      else c.drop(part);
      continue;
    }
    relay_plain(c);
    if (emits_wait()) drain_emits(c);
    if (!take_frame(c, result)) break;
  }
  if (remaining_ == 0 && emits_wait()) drain_emits(c);
  result.used = c.at;
  result.run = in.substr(c.run, c.at - c.run);
  return result;
}

// Most messages: whole ones that belong to what the client asked, and ask nothing of the proxy as CopyInResponse does.
void exchange::relay_plain(cursor& c) {
  auto rest = c.rest();
  while (!idle() && front().how == fate::relay && !front().amended) {
    const auto& answer = answers_to[static_cast<std::size_t>(front().what)];
    unsigned char type = 0;
    do {
      if (rest.size() < frame_header_size) return;
      type = static_cast<unsigned char>(rest.front());
      const std::size_t size = protocol::load_int<std::uint32_t>(rest.data() + 1) + std::size_t{1};
      if (!answer.belongs[type] || type == 'G' || size < frame_header_size || size > rest.size()) return;
      rest.remove_prefix(size);
      c.at += size;
    } while (!answer.completes[type]);
    if (front().what == request::execute) doubt_ = doubt::none;  // the COPY, if it was one, has ended well
    pop();
  }
}

void exchange::drain_emits(cursor& c) {
  while (emits_wait()) {
    c.cut();
    if (front().what == request::emit) c.out.append(text_of(front()));
    pop();
  }
}

void exchange::pass(cursor& c, std::size_t size, bool relayed) {
  const auto part = std::min(size, c.in.size() - c.at);
  if (relayed) c.at += part;
  else c.drop(part);
  remaining_ = size - part;
  relay_remaining_ = relayed;
}

// False: the next message is not there far enough.
bool exchange::take_frame(cursor& c, step& result) {
  frame_header header;
  const auto seen = protocol::read_header(c.rest(), protocol::peer::backend, protocol::max_frame_size, header);
  if (seen == frame_error::need_more) return false;
  if (seen != frame_error::none) return result.what = event::unexpected, false;
  switch (header.type) {
    case 'N': return take_notice(c, header, result);
    case 'S':
    case 'A': return take_aside(c, header, result);
    case 'D':
    case 't':
      if (!idle() && front().how == fate::capture) return take_aside(c, header, result);
      if (header.type == 'D' && is_amended()) return take_amended(c, header, result);
      return take_answer(c, header, result), true;
    case 'E': return take_error(c, header, result);
    case 'Z': return c.rest().size() >= header.size && take_ready(c, result);
    default: return take_answer(c, header, result), true;
  }
}

// What is not relayed as it is, and must be seen whole.
bool exchange::take_aside(cursor& c, const frame_header& header, step& result) {
  if (header.size > max_kept) return result.what = event::unexpected, false;
  if (c.rest().size() < header.size) return result.whole = header.size, false;
  const auto frame = c.rest().substr(0, header.size);
  c.cut();
  if (header.type == 'D' || header.type == 't') rows_.append(frame);
  if (header.type == 'S') reports_.append(frame.substr(frame_header_size));
  if (reports_.size() > max_reports) return result.what = event::unexpected, false;
  if (header.type == 'A') keep_notification(frame);
  c.drop(header.size);
  return true;
}

// Clients compare the number with their own, and with those of clients that they know.
void exchange::keep_notification(std::string_view frame) {
  const auto at = notifications_.size();
  notifications_.append(frame);
  protocol::wire_reader in(frame.substr(frame_header_size));
  const auto number = book_ ? book_->notifier(shard_, in.read<std::int32_t>()) : 0;
  if (number == 0) return;
  std::string shown;
  protocol::append_int(shown, number);
  notifications_.replace(at + frame_header_size, shown.size(), shown);
}

// WARNING: PID ... is not a PostgreSQL backend process
bool exchange::is_left_out(std::string_view notice) const noexcept {
  return front().amended && tell_a_truth(text_of(front())) && field(notice, 'C') == protocol::sqlstate::warning;
}

// A DataRow, whose amended columns are near its beginning as a rule: a row that is too large to be seen whole passes as it is.
bool exchange::take_amended(cursor& c, const frame_header& header, step& result) {
  if (header.size > max_kept || !belongs(front().what, 'D')) return take_answer(c, header, result), true;
  if (c.rest().size() < header.size) return result.whole = header.size, false;
  c.cut();
  append_amended(c.out, c.rest().substr(0, header.size), text_of(front()));
  c.drop(header.size);
  return true;
}

// One that comes unasked is passed whole: the server may be put aside behind it. A server that is killed, or whose neighbour has crashed, says
// so in a warning and is gone.
bool exchange::take_notice(cursor& c, const frame_header& header, step& result) {
  if (c.rest().size() < std::min<std::size_t>(header.size, error_prefix)) return false;
  const auto body = c.rest().substr(frame_header_size);
  const bool parting = field(body, 'V') == "WARNING" && field(body, 'C').starts_with("57P");
  if (idle() && header.size > max_kept) return result.what = event::unexpected, false;
  if ((idle() || parting) && c.rest().size() < header.size) return result.whole = header.size, false;
  if (parting) last_words_ = c.rest().substr(0, header.size);
  return pass(c, header.size, idle() || (front().how == fate::relay && !is_left_out(body))), true;
}

bool exchange::take_error(cursor& c, const frame_header& header, step& result) {
  if (c.rest().size() < std::min<std::size_t>(header.size, error_prefix)) return false;
  const auto severity = field(c.rest().substr(frame_header_size), 'V');
  const bool fatal = severity == "FATAL" || severity == "PANIC";
  const bool kept = fatal || (!idle() && (front().how == fate::swallow || front().how == fate::capture));
  if (kept && c.rest().size() < header.size) {
    if (header.size > max_kept_error) return result.what = event::unexpected, false;
    return result.whole = header.size, false;
  }
  const auto frame = c.rest().substr(0, header.size);
  const auto code = field(frame.substr(frame_header_size), 'C');
  if (fatal) {
    last_words_ = !idle() && front().text_size > 0 ? text_of(front()) : frame;
    c.drop(header.size);
    return result.what = event::fatal, false;
  }
  if (idle() || code.size() != sqlstate_.size()) return result.what = event::unexpected, false;
  if (front().what == request::fence) return fence_reached_ = true, pass(c, header.size, false), true;  // a cancel, if anything
  if (front().how == fate::capture) {
    failure_ = frame;
    c.drop(header.size);
    skip_to_sync();
    return true;
  }
  std::copy(code.begin(), code.end(), sqlstate_.begin());
  tell_error(c, frame, header.size);
  if (doubt_ == doubt::open) doubt_ = doubt::failed;
  skip_to_sync();
  result.what = event::error;
  return true;
}

// An error of a statement that was put in before the client's own is told when the client's own fails for it.
void exchange::tell_error(cursor& c, std::string_view frame, std::size_t size) {
  if (front().what == request::query && front().how == fate::swallow) {
    pending_error_ = frame;
    return pass(c, size, false);
  }
  const bool replaced = front().text_size > 0 && !front().amended;
  if (!replaced && pending_error_.empty()) return pass(c, size, true);
  c.cut();
  c.out.append(replaced ? text_of(front()) : std::string_view(pending_error_));
  pending_error_.clear();
  pass(c, size, false);
}

std::optional<protocol::notice> exchange::last_words() const {
  if (last_words_.empty()) return std::nullopt;
  return protocol::decode_notice(std::string_view(last_words_).substr(frame_header_size));
}

// After an error the server reads and discards messages until Sync; a simple query ends by itself.
void exchange::skip_to_sync() {
  skipped_.clear();
  while (!idle() && front().what != request::sync && front().what != request::query && front().what != request::fence) {
    skipped_.push_back(front());
    pop();
  }
}

bool exchange::take_ready(cursor& c, step& result) {
  const auto ready = protocol::decode_ready_for_query(c.rest().substr(frame_header_size, 1));
  if (ready && doubt_ == doubt::failed) {
    result.status = ready->status;
    pass(c, ready_size, false);
    hold_ready(result, c.out);
    return true;
  }
  if (!ready || idle() || (front().what != request::sync && front().what != request::query)) return result.what = event::unexpected, false;
  doubt_ = doubt::none;
  last_words_.clear();  // whoever warned has stayed
  const auto how = front().how;
  result.ready_in_run = how == fate::relay && pending_error_.empty();
  pass(c, ready_size, result.ready_in_run);
  pop();
  result.status = ready->status;
  if (how == fate::capture) return captured_ = true, result.what = event::captured, true;
  const bool open = ready->status != protocol::transaction_status::idle;
  if (how != fate::relay) {
    if (!open && !pending_error_.empty()) result.what = event::put_in_failed;
    return true;
  }
  if (open) c.out.append(pending_error_);  // else the client's own has been done
  pending_error_.clear();
  return result.what = event::ready, true;
}

// The first belongs to the simple query that failed, if it was one; then as many as Syncs have come behind the failure; then the fence's
// own two, with the answer to its empty query between them. All say the same.
void exchange::hold_ready(step& result, std::string& out) {
  if (!idle() && front().what == request::query) pop();
  if (!fence_reached_) return void(++held_ready_);
  pop();
  const auto theirs = std::exchange(held_ready_, 0) - 1;
  fence_reached_ = false;
  doubt_ = doubt::none;
  for (std::uint32_t i = 1; i < theirs; ++i) protocol::append(out, protocol::ready_for_query{result.status});
  if (theirs > 0) result.what = event::ready;
}

void exchange::take_answer(cursor& c, const frame_header& header, step& result) {
  if (idle() || !belongs(front().what, header.type) || front().how == fate::replace) {
    result.what = event::unexpected;
    return;
  }
  const auto what = front().what;
  const bool relayed = front().how == fate::relay;
  pass(c, header.size, relayed);
  if (what == request::fence) fence_reached_ = true;
  if (what != request::query && completes(what, header.type)) {
    if (what == request::execute) doubt_ = doubt::none;
    pop();
  }
  if (header.type != 'G' || !relayed) return;
  if (what == request::execute && data_was_sent()) return;
  if (what == request::execute) doubt_pipelined_sync();
  result.what = event::copy_in;
}

// The data and its end came in the pipeline behind Execute: nothing more is to be forwarded.
bool exchange::data_was_sent() {
  const auto begin = queue_.begin() + static_cast<std::ptrdiff_t>(head_) + 1;
  const auto end = std::find_if(begin, queue_.end(), [](const expected& e) { return e.what == request::copy_end; });
  if (end == queue_.end()) return false;
  queue_.erase(begin, std::next(end));
  return true;
}

// A server in COPY IN ignores a Sync that was pipelined behind Execute (manual 55.2.6): the client sends another one after CopyDone. Where
// the COPY fails before it has read that far, the Sync is answered.
void exchange::doubt_pipelined_sync() {
  if (has(request::sync)) doubt_sync();
  queue_.resize(head_ + 1);
}

}  // namespace proxy
