#include "routing/analysis/fixed_settings.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>

#include "routing/analysis/refusals.h"
#include "routing/text/words.h"

namespace routing {
namespace {

char lower(char c) noexcept { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

bool is_one_of_words(std::string_view word, std::initializer_list<std::string_view> words) noexcept {
  return std::any_of(words.begin(), words.end(), [word](std::string_view one) { return is_same_word(word, one); });
}

// PostgreSQL compares names of encodings by their letters and digits.
std::string clean_encoding(std::string_view name) {
  std::string clean;
  for (const char c : name)
    if (std::isalnum(static_cast<unsigned char>(c))) clean.push_back(c);
  return clean;
}

// A list of identifiers as PostgreSQL reads it: quoted ones as they are, others in lower case.
std::vector<std::string> identifiers(std::string_view text) {
  std::vector<std::string> names(1);
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' && quoted && text.substr(i + 1).starts_with('"')) names.back().push_back(text[++i]);
    else if (c == '"') quoted = !quoted;
    else if (quoted) names.back().push_back(c);
    else if (c == ',') names.emplace_back();
    else if (!std::isspace(static_cast<unsigned char>(c))) names.back().push_back(lower(c));
  }
  return names;
}

// Where pg_catalog is named, it is searched in its turn instead of first, and what lies in front of it takes the names of its types,
// operators and functions. Temporary types are found first in any case, functions and operators never.
bool hides_catalog(std::span<const std::string> path) noexcept {
  const auto catalog = std::find(path.begin(), path.end(), "pg_catalog");
  return catalog != path.end() && std::any_of(path.begin(), catalog, [](const std::string& schema) { return schema != "pg_temp"; });
}

// One word of "options": blanks end it, a backslash takes what follows as it is.
std::string take_word(std::string_view& text) {
  std::string word;
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && !std::isspace(static_cast<unsigned char>(text.front()))) {
    if (text.front() == '\\' && text.size() > 1) text.remove_prefix(1);
    word.push_back(text.front());
    text.remove_prefix(1);
  }
  return word;
}

}  // namespace

bool decides_reading(std::string_view name) noexcept { return is_one_of_words(name, {"client_encoding", "standard_conforming_strings"}); }

bool is_reported(std::string_view name) noexcept {
  return decides_reading(name) || is_one_of_words(name, {"application_name", "datestyle", "default_transaction_read_only", "intervalstyle", "scram_iterations", "timezone"});
}

// Those that a server cannot have (manual 24.3.1).
bool hides_ascii(std::string_view encoding) {
  return is_one_of_words(clean_encoding(encoding), {"big5", "win950", "windows950", "gb18030", "gbk", "win936", "windows936", "johab", "sjis", "mskanji", "shiftjis",
                                                    "win932", "windows932", "shiftjis2004", "uhc", "win949", "windows949"});
}

bool is_judged(std::string_view name) noexcept { return is_one_of_words(name, {"client_encoding", "search_path"}); }

std::optional<refusal> misleading_value(std::string_view name, std::span<const std::string> values) {
  const auto first = values.empty() ? std::string_view() : std::string_view(values.front());
  if (is_same_word(name, "search_path")) return hides_catalog(values) ? std::optional(hidden_catalog()) : std::nullopt;
  return is_same_word(name, "client_encoding") && hides_ascii(first) ? std::optional(unreadable_encoding(first)) : std::nullopt;
}

std::optional<refusal> misleading_value(std::string_view name, std::string_view text) {
  if (is_same_word(name, "search_path")) return misleading_value(name, identifiers(text));
  const std::string one(text);
  return misleading_value(name, std::span(&one, 1));
}

std::optional<refusal> misleading_options(std::string_view options) {
  while (!options.empty()) {
    auto word = take_word(options);
    if (word == "-c") word = take_word(options);
    else if (word.starts_with("-c") || word.starts_with("--")) word.erase(0, 2);
    const auto equals = word.find('=');
    if (equals == std::string::npos) continue;
    auto name = word.substr(0, equals);
    std::replace(name.begin(), name.end(), '-', '_');
    if (is_same_word(name, "search_path"))
      if (auto why = misleading_value(name, std::string_view(word).substr(equals + 1))) return why;
  }
  return std::nullopt;
}

}  // namespace routing
