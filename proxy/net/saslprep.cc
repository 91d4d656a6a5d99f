#include "proxy/net/saslprep.h"

#include <algorithm>
#include <memory>
#include <vector>

#include <unicode/usprep.h>
#include <unicode/ustring.h>

namespace proxy {

std::string saslprep(std::string password) {
  const auto ascii = [](char c) { return static_cast<unsigned char>(c) < 128; };
  if (std::all_of(password.begin(), password.end(), ascii)) return password;
  constexpr std::size_t growth = 18;  // of NFKC, at most
  std::vector<UChar> given(password.size() + 1), prepared(password.size() * growth);
  std::string out(prepared.size() * 3, '\0');
  std::int32_t size = 0;
  const auto room = [](const auto& buffer) { return static_cast<std::int32_t>(buffer.size()); };
  UErrorCode status = U_ZERO_ERROR;
  u_strFromUTF8(given.data(), room(given), &size, password.data(), room(password), &status);
  const std::unique_ptr<UStringPrepProfile, decltype(&usprep_close)> profile(usprep_openByType(USPREP_RFC4013_SASLPREP, &status), &usprep_close);
  size = usprep_prepare(profile.get(), given.data(), size, prepared.data(), room(prepared), USPREP_DEFAULT, nullptr, &status);
  u_strToUTF8(out.data(), room(out), &size, prepared.data(), size, &status);
  if (U_FAILURE(status) || size == 0) return password;
  out.resize(static_cast<std::size_t>(size));
  return out;
}

}  // namespace proxy
