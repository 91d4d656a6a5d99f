// The replication stream: an input is a payload, inside a segment and outside, and an envelope around one.
#include "protocol/pgoutput.h"

#include "frames.h"

using namespace protocol;

namespace {

void decode_both(std::string_view payload) {
  for (const bool in_stream : {false, true}) {
    const auto change = pgoutput::decode(payload, in_stream);
    if (!change) continue;
    if (const auto* row = std::get_if<pgoutput::insert>(&*change)) fuzz::require(row->new_row.size() <= payload.size());
    if (const auto* table = std::get_if<pgoutput::relation>(&*change)) fuzz::require(table->columns.size() <= payload.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view in{reinterpret_cast<const char*>(data), size};
  decode_both(in);
  if (const auto message = decode_replication(in))
    if (const auto* envelope = std::get_if<xlog_data>(&*message)) decode_both(envelope->payload);
  if (const auto position = parse_lsn(in)) fuzz::require(parse_lsn(to_string(*position)) == position);
  return 0;
}
