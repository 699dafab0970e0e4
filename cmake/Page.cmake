# The page of the program (page/), bundled by node and npm while building. Without them the program has no page and says so.
set(AVIARY_PAGE AUTO CACHE STRING "The page in a browser: ON, OFF, or AUTO (if npm is there and can install its packages)")
set_property(CACHE AVIARY_PAGE PROPERTY STRINGS AUTO ON OFF)
find_program(AVIARY_NODE node)
find_program(AVIARY_NPM npm)
mark_as_advanced(AVIARY_NODE AVIARY_NPM)

# aviary_page_files(TARGET): gives it the source page_files.cpp.
function(aviary_page_files target)
  set(source ${PROJECT_BINARY_DIR}/generated/page_files.cpp)
  file(GLOB_RECURSE parts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/page/src/*)
  add_custom_command(OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -DMODE=${AVIARY_PAGE} -DNODE=${AVIARY_NODE} -DNPM=${AVIARY_NPM}
      -DPAGE=${PROJECT_SOURCE_DIR}/page -DWORK=${PROJECT_BINARY_DIR}/page -DOUT=${source}
      -P ${PROJECT_SOURCE_DIR}/cmake/BuildPage.cmake
    DEPENDS ${parts} ${PROJECT_SOURCE_DIR}/cmake/BuildPage.cmake ${PROJECT_SOURCE_DIR}/page/build.mjs
      ${PROJECT_SOURCE_DIR}/page/index.html ${PROJECT_SOURCE_DIR}/page/package-lock.json
    COMMENT "Bundling the page" VERBATIM)
  target_sources(${target} PRIVATE ${source})
endfunction()
