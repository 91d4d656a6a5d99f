# Writes sql.cc: each migration/sql/<name>.sql becomes `const std::string_view migration::sql::<name>`.
set(text "#include \"migration/base/sql.h\"\nnamespace migration::sql {\n")
foreach(path ${IN})
  get_filename_component(name ${path} NAME_WE)
  file(READ ${path} body)
  string(APPEND text "const std::string_view ${name} = R\"~sql~(${body})~sql~\";\n")
endforeach()
string(APPEND text "}  // namespace migration::sql\n")
file(WRITE ${OUT} "${text}")
