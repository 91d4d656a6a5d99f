// Nearest names for messages: an unknown configuration key or console command names what was probably meant. Pure, any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace proxy {

// Optimal string alignment: insertions, deletions, replacements and swaps of neighbours cost 1 each.
std::size_t edit_distance(std::string_view a, std::string_view b);
// At most `count` of `names`, nearest first, in their own order when equally near; only such that less than half of
// the longer one's letters differ.
std::vector<std::string_view> nearest(std::string_view name, std::span<const std::string_view> names, std::size_t count);

}  // namespace proxy
