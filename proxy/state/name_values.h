// Lists of names and values that many hold and compare: immutable, and as long as anybody holds one, equal lists of one thread are one
// object, so that to compare is to compare pointers. Worker's thread only, counted without atomic operations; the last owner may let go
// of one after that thread has ended.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

namespace proxy {

using text_pairs = std::vector<std::pair<std::string, std::string>>;

class name_values;
using name_values_ptr = boost::intrusive_ptr<const name_values>;

class name_values : public boost::intrusive_ref_counter<name_values, boost::thread_unsafe_counter> {
 public:
  static name_values_ptr make(text_pairs);
  ~name_values();

  const text_pairs& values() const noexcept { return values_; }  // in the order given
  const std::string* find(std::string_view name) const noexcept;

 private:
  name_values(text_pairs values, std::uint64_t hash) : values_(std::move(values)), hash_(hash) {}
  const text_pairs values_;
  const std::uint64_t hash_;
};

}  // namespace proxy
