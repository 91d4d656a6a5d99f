// Replays what the fuzzers found worth keeping (tests/fuzz/corpus) through the same entry functions, without libFuzzer. A
// target that sees one of its properties broken aborts; memory errors show under the asan preset.
#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" {
int fuzz_backend(const std::uint8_t*, std::size_t);
int fuzz_first_packet(const std::uint8_t*, std::size_t);
int fuzz_frontend(const std::uint8_t*, std::size_t);
int fuzz_pgoutput(const std::uint8_t*, std::size_t);
int fuzz_scram(const std::uint8_t*, std::size_t);
}

TEST_CASE("fuzz_corpus: every input of every target runs through") {
  struct row {
    const char* target;
    int (*entry)(const std::uint8_t*, std::size_t);
  };
  const row rows[] = {{"backend", fuzz_backend},
                      {"first_packet", fuzz_first_packet},
                      {"frontend", fuzz_frontend},
                      {"pgoutput", fuzz_pgoutput},
                      {"scram", fuzz_scram}};
  for (const auto& row : rows) {
    int inputs = 0;
    for (const auto& file : std::filesystem::directory_iterator(std::filesystem::path(PGROTOR_CORPUS_DIR) / row.target)) {
      CAPTURE(file.path().string());
      std::ifstream in(file.path(), std::ios::binary);
      const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
      CHECK(row.entry(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()) == 0);
      ++inputs;
    }
    CAPTURE(row.target);
    CHECK(inputs >= 5);
  }
}
