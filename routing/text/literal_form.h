// A statement text without its literals: strings and integers are replaced by $1, $2, ... in order, comments and blanks by one blank.
// What cannot be sure to parse the same (interval '...', E'...', numbers with a point) stays. One object per worker, reused.
#pragma once

#include <string>
#include <string_view>

#include "routing/map/parameter.h"

namespace routing {

class literal_form {
 public:
  // False if the text has parameters of its own: then there is no form. Literals go to `literals` as text parameters, integers
  // declared as int8, strings undeclared, as views into `sql` or into this object until the next call.
  bool read(std::string_view sql, parameters& literals);
  std::string_view text() const noexcept { return {buffer_.data(), size_}; }

 private:
  void clear(std::size_t next_size);
  char* grow(char* end, std::size_t more);
  std::string_view unquoted(std::string_view quoted, std::size_t at_most);

  std::string buffer_;  // the form is at its start
  std::size_t size_ = 0;
  std::string unescaped_;  // reserved before use, so that views into it stay
};

}  // namespace routing
