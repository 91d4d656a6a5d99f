// Plans as short texts, so that tests are tables of statements and what becomes of them:
//   key shop:5 shop:$1 shop:-$2     by key, with the key values
//   any / default                   destinations without a key
//   RT003 / 0A000 / 54001           refused
// with "inferred" for parameters that have other uses and "stored" for values that go into a varchar; followed by "plain" for a plain
// read, "locks" for row locks and gid(x) of a prepared transaction; preceded by the kind if it is not query. Statements of one text are separated by "; ".
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "routing/analysis/plan.h"

namespace sample {

std::string describe(const routing::text_plan&);
std::string analysed(std::string_view sql);  // under sample::map()

struct row {
  std::string_view sql, expected;
  std::string_view mentions = {};  // of a refusal: must stand in its message, detail or hint
};
void check(std::span<const row>);

}  // namespace sample
