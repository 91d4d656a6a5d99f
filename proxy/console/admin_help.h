// What the console understands, for SHOW HELP and for hints. Pure, any thread.
#pragma once

#include <span>
#include <string_view>

namespace proxy {

// Every command's form and meaning.
struct admin_help {
  std::string_view command, form, meaning;  // command: the words it begins with, "DRAIN SHARD"
};
std::span<const admin_help> admin_helps() noexcept;

}  // namespace proxy
