// What a server still has to answer, in order, and what becomes of each answer: relayed to the client, swallowed (it belongs to a
// statement that the proxy put in), or replaced. Answers that the proxy gives itself are queued among them, so that the client sees
// one stream in the order of its messages. Sans-I/O: bytes of the server in, bytes for the client out (manual 55.2.3, 55.2.4).
// One exchange per attached server; its session's thread only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/backend.h"
#include "protocol/frame.h"
#include "proxy/shard/amendment.h"
#include "proxy/shard/process_book.h"

namespace proxy {

// copy_end: CopyDone or CopyFail was sent in a pipeline; it is answered by nothing of its own. fence: see exchange::fence().
enum class request : char { query, parse, bind, describe_statement, describe_portal, execute, close, sync, fence, copy_end, emit };
enum class fate : char {
  relay,    // the client sees the answer
  swallow,  // the client does not know of the request; an error of it is told as the error of the client's next one, if that fails
  capture,  // the proxy itself wants the answer, to a query or to all messages up to a Sync: event::captured, rows(), failure()
  replace,  // the request was sent in order to fail; the client sees `text` instead of the error
};

struct expected {
  request what = request::query;
  fate how = fate::relay;
  bool amended = false;         // `text` are amendments
  std::uint64_t statement = 0;  // parse: the server-side statement that this makes; close: the one that it drops
  std::uint32_t undo = 0;       // 1 + index of the change to the client's statement names to take back when this is skipped
  std::uint32_t text_at = 0, text_size = 0;  // emit, replace, or what is told instead of an error
};

class exchange {
 public:
  static constexpr std::size_t ready_size = protocol::frame_header_size + 1;
  enum class event {
    need_more,   // all complete input has been used
    error,       // an ErrorResponse went to the client: see skipped(), sqlstate
    ready,       // the client's own ReadyForQuery: the caller writes it, with `status`, unless it is in the run
    captured,    // a query or a Sync with fate::capture has been answered
    copy_in,     // the server waits for CopyData
    put_in_failed,  // what was put in before the client's own has failed, and no transaction is open: see put_in_error()
    fatal,       // the server ends the connection: see last_words()
    unexpected,  // the server sent what it was not asked for
  };
  struct step {
    event what = event::need_more;
    std::size_t used = 0;      // bytes of the input that are done with, `run` included
    std::string_view run;      // the end of them: to be relayed as they are, after what was appended to `out`
    std::size_t whole = 0;     // need_more: a message of this size must be there whole
    protocol::transaction_status status = protocol::transaction_status::idle;
    bool ready_in_run = false;  // ready: the server's own message is the end of `run`
  };

  void expect(request, fate = fate::relay, std::uint64_t statement = 0, std::uint32_t undo = 0);
  void emit(std::string_view frames, std::uint32_t undo = 0);
  void expect_failure(std::string_view error_frame);
  void tell_instead(std::string_view error_frame);  // of an error of what was expected last
  // Of what was expected last. Where a truth is told, it is not the shard that knows: its warning that it does not is left out.
  void amend(std::span<const amendment>);
  // A Sync was sent while a COPY reads the client's data. The server ignores it (manual 55.2.6), unless the COPY has failed by then.
  void doubt_sync() noexcept { doubt_ = doubt::open; }
  bool in_doubt() const noexcept { return doubt_ != doubt::none; }
  // The COPY has failed, and only a fence() can tell how many of those Syncs came behind the failure: a Sync and an empty query of the
  // proxy's own were sent behind them. The client gets its ReadyForQuery messages, if there are any, once the fence is answered.
  bool needs_fence() const noexcept { return doubt_ == doubt::failed && !has(request::fence); }
  void fence() { expect(request::fence, fate::swallow); }
  step feed(std::string_view in, std::string& out);

  bool idle() const noexcept { return head_ == queue_.size(); }
  // The proxy's own answers are next: no server is needed to go on.
  bool emits_wait() const noexcept { return !idle() && (front().what == request::emit || front().what == request::copy_end); }
  // The server is at something of the proxy's own.
  bool is_at_put_in() const noexcept { return !idle() && (front().how == fate::swallow || front().how == fate::capture); }
  // Between two messages: something may be put in.
  bool at_boundary() const noexcept { return remaining_ == 0; }
  bool has(request) const noexcept;
  const std::vector<expected>& skipped() const noexcept { return skipped_; }
  std::string_view sqlstate() const noexcept { return {sqlstate_.data(), sqlstate_.size()}; }
  // The error with which the server ends the connection, or the warning in front of its end; what the client is told in its place, where
  // the request was sent in order to fail. Nothing: it has not said that it goes.
  std::optional<protocol::notice> last_words() const;
  const std::string& put_in_error() const noexcept { return pending_error_; }  // its whole frame
  // Of what was captured, until the next feed(): its DataRow and ParameterDescription frames, and the ErrorResponse frame that it failed
  // with, if it did.
  const std::string& rows() const noexcept { return rows_; }
  const std::string& failure() const noexcept { return failure_; }
  // Bodies of ParameterStatus messages, which are never relayed as they come: the session tells its client what is new to it.
  std::string take_reports() noexcept { return std::exchange(reports_, {}); }
  bool has_reports() const noexcept { return !reports_.empty(); }
  // NotificationResponse messages, whole; the session knows when its client may be told. From a process of that shard they have the number of the
  // client that has notified over it.
  std::string take_notifications() noexcept { return std::exchange(notifications_, {}); }
  bool has_notifications() const noexcept { return !notifications_.empty(); }
  bool has_asides() const noexcept { return has_reports() || has_notifications(); }
  void name_notifiers(const process_book* book, routing::shard_id shard) noexcept { book_ = book, shard_ = shard; }
  void clear() noexcept;

 private:
  enum class doubt : char {
    none,
    open,    // Syncs were sent during the COPY under way
    failed,  // ... and it failed: each that came later is answered
  };
  struct cursor;
  void relay_plain(cursor&);
  bool take_frame(cursor&, step&);
  bool take_error(cursor&, const protocol::frame_header&, step&);
  void tell_error(cursor&, std::string_view frame, std::size_t size);
  bool take_ready(cursor&, step&);
  void hold_ready(step&, std::string& out);
  bool take_notice(cursor&, const protocol::frame_header&, step&);
  bool take_aside(cursor&, const protocol::frame_header&, step&);
  void keep_notification(std::string_view frame);
  bool take_amended(cursor&, const protocol::frame_header&, step&);
  bool is_amended() const noexcept { return !idle() && front().amended; }
  bool is_left_out(std::string_view notice) const noexcept;
  void take_answer(cursor&, const protocol::frame_header&, step&);
  void drain_emits(cursor&);
  void pass(cursor&, std::size_t size, bool relayed);
  void skip_to_sync();
  void keep_text(std::string_view);
  bool data_was_sent();
  void doubt_pipelined_sync();
  const expected& front() const noexcept { return queue_[head_]; }
  void pop() noexcept;
  std::string_view text_of(const expected& e) const noexcept { return std::string_view(texts_).substr(e.text_at, e.text_size); }

  std::vector<expected> queue_;
  std::size_t head_ = 0;
  std::string texts_;
  std::size_t remaining_ = 0;  // bytes of a message that has been judged and not yet seen
  bool relay_remaining_ = false;
  std::string pending_error_;  // of a swallowed request, whole frame
  std::vector<expected> skipped_;
  std::array<char, 5> sqlstate_{};
  std::string last_words_, rows_, failure_, reports_, notifications_;
  bool captured_ = false;
  doubt doubt_ = doubt::none;
  std::uint32_t held_ready_ = 0;  // since the failure
  bool fence_reached_ = false;    // its empty query was answered
  const process_book* book_ = nullptr;
  routing::shard_id shard_;
};

}  // namespace proxy
