// Counts what each thread of the harness takes from the heap: malloc and its kin are replaced, which operator new and Asio's own
// allocators end in. With a sanitizer, which has replaced them already, nothing is counted.
#pragma once

#include <cstdint>

// Of the calling thread, since it began.
std::uint64_t allocations_so_far() noexcept;
