#include "routing/text/text_bounds.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/container/small_vector.hpp>

#include "routing/text/text_scanner.h"

namespace routing {
namespace {

// Keywords that can add a level to the parse tree without parentheses; each repeats in chains: NOT NOT, IS NULL IS NULL, UNION, JOIN.
constexpr auto chaining = std::to_array<std::string_view>({"at", "between", "collate", "ilike", "in", "is", "isnull", "like", "not", "notnull",
                                                           "operator", "overlaps", "similar"});
constexpr auto linking = std::to_array<std::string_view>({"except", "intersect", "join", "union"});

class lower_word {
 public:
  explicit lower_word(std::string_view word) noexcept : size_(std::min(word.size(), text_.size())) {
    if (word.size() > text_.size()) size_ = 0;  // longer than any keyword of interest
    std::transform(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(size_), text_.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  }
  std::string_view view() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, 12> text_{};
  std::size_t size_;
};

// How deep the parse tree can become at most. Operators between two commas, ANDs or ORs nest; those three make flat lists. Parentheses,
// brackets and CASE open a level of their own; set operations and joins nest across commas. What may be read in two ways counts as the
// deeper one.
class depth_meter {
 public:
  void word(std::string_view text) {
    if (after_dot_) return;  // a.and is a column
    const lower_word lower(text);
    const auto w = lower.view();
    if (w == "case") return open(true);
    if (w == "end") return top().is_case ? close() : void();
    if (w == "and" || w == "or") return separate(w == "and");
    if (top().is_case && (w == "when" || w == "then" || w == "else")) return separate(false);
    if (std::binary_search(chaining.begin(), chaining.end(), w)) add(top().chain, 1);
    if (std::binary_search(linking.begin(), linking.end(), w)) add(top().links, 1);
    if (w == "union" || w == "intersect" || w == "except") separate(false);  // JOIN may also be the name of a function
    if (w == "between") top().between = true;
  }

  void operation(std::size_t characters) { add(top().chain, characters); }  // "+-+-" may be four operators

  void punctuation(char c) {
    if (c == '(' || c == '[') open(false);
    if ((c == ')' || c == ']') && levels_.size() > 1) close();
    if (c == ',') separate(false);
    if (c == ';' && levels_.size() == 1) reset();
  }

  void seen(const token& t) { after_dot_ = t.text == "."; }

  std::size_t operators() const noexcept { return operators_; }
  std::size_t nesting() const noexcept { return levels_.size(); }

 private:
  struct level {
    std::size_t chain = 0, links = 0;
    bool is_case = false;
    bool between = false;  // the next AND belongs to BETWEEN
  };

  level& top() noexcept { return levels_.back(); }
  void add(std::size_t& count, std::size_t n) {
    count += n;
    operators_ += n;
  }
  void open(bool is_case) { levels_.push_back({0, 0, is_case, false}); }
  void close() {
    operators_ -= top().chain + top().links;
    levels_.pop_back();
  }
  void separate(bool is_and) {
    if (is_and && top().between) {
      top().between = false;
      return;
    }
    operators_ -= top().chain;
    top().chain = 0;
  }
  void reset() {
    levels_.back() = {};
    operators_ = 0;
  }

  boost::container::small_vector<level, 32> levels_{1};
  std::size_t operators_ = 0;
  bool after_dot_ = false;
};

// The lexer reads a run of operator characters to its end at every operator and every start of a comment in it, and then takes a few of
// them: the characters read grow with the square of the run.
class run_meter {
 public:
  explicit run_meter(std::string_view sql) noexcept : sql_(sql) {}

  void operation(std::string_view text) { add(at(text), text.size()); }
  void blanks_before(const token& t) {
    const auto end = t.kind == token_kind::end ? sql_.size() : at(t.text);
    const auto blanks = sql_.substr(0, end);
    for (auto i = blanks.find("/*", seen_); i != blanks.npos; i = blanks.find("/*", i + 2)) add(i, 1);
    seen_ = end + t.text.size();
  }
  std::size_t work() const noexcept { return work_; }

 private:
  std::size_t at(std::string_view text) const noexcept { return static_cast<std::size_t>(text.data() - sql_.data()); }
  void add(std::size_t from, std::size_t times) {
    if (from >= run_end_) run_end_ = std::min(sql_.find_first_not_of("~!@#^&|`?+-*/%<>=", from), sql_.size());
    work_ += times * (run_end_ - from);
  }

  std::string_view sql_;
  std::size_t seen_ = 0, run_end_ = 0, work_ = 0;
};

}  // namespace

std::optional<std::string> exceeds(std::string_view sql, const analyzer_limits& limits) {
  if (sql.size() > limits.max_text_bytes) return fmt::format("The text has more than {} bytes.", limits.max_text_bytes);
  text_scanner scanner(sql);
  depth_meter depth;
  run_meter runs(sql);
  std::size_t tokens = 0;
  token t;
  do {
    t = scanner.next();
    runs.blanks_before(t);
    if (t.kind == token_kind::operation) runs.operation(t.text);
    if (runs.work() > limits.max_run_work) return "Operators or comments follow one another without a blank, too many of them.";
    if (t.kind != token_kind::end && ++tokens > limits.max_tokens) return fmt::format("The text has more than {} tokens.", limits.max_tokens);
    if (t.kind == token_kind::word) depth.word(t.text);
    if (t.kind == token_kind::operation) depth.operation(t.text.size());
    if (t.kind == token_kind::punctuation) depth.punctuation(t.text.front());
    depth.seen(t);
    if (depth.operators() > limits.max_operators) return fmt::format("More than {} operators follow one another.", limits.max_operators);
    if (depth.nesting() > limits.max_nesting) return fmt::format("Expressions are nested more than {} levels deep.", limits.max_nesting);
  } while (t.kind != token_kind::end);
  return std::nullopt;
}

}  // namespace routing
