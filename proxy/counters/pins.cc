#include "proxy/counters/pins.h"

namespace proxy {

std::string pins_text(routing::state_bits set) {
  std::string text;
  for_each_pin(set, [&](std::size_t i) { text.append(text.empty() ? "" : ",").append(pin_reasons[i]); });
  return text;
}

}  // namespace proxy
