# Run while building (Page.cmake): writes OUT, the files of the page or the reason why there are none.

function(without_page reason)
  if(MODE STREQUAL "ON")
    message(FATAL_ERROR "The page cannot be built: ${reason}")
  endif()
  message(STATUS "The program gets no page: ${reason}")
  file(WRITE ${OUT} "#include \"page/page_files.h\"

namespace aviary {
std::span<const PageFile> page_files() { return {}; }
std::string_view page_missing() { return \"${reason}\"; }
}  // namespace aviary
")
endfunction()

set(again "cmake --preset release -DAVIARY_PAGE=ON, and build again.")
if(MODE STREQUAL "OFF")
  without_page("It was left out (AVIARY_PAGE=OFF): ${again}")
  return()
endif()
if(NOT NODE OR NOT NPM)
  without_page("Node.js and npm were not there when it was built: install them (Debian packages nodejs and npm), ${again}")
  return()
endif()

file(COPY ${PAGE}/build.mjs ${PAGE}/index.html ${PAGE}/package.json ${PAGE}/package-lock.json ${PAGE}/.npmrc DESTINATION ${WORK})
file(REMOVE_RECURSE ${WORK}/src)
file(COPY ${PAGE}/src DESTINATION ${WORK})
file(SHA256 ${PAGE}/package-lock.json lock)
set(installed "")
if(EXISTS ${WORK}/installed)
  file(READ ${WORK}/installed installed)
endif()
if(NOT installed STREQUAL lock)
  execute_process(
    COMMAND ${NPM} ci --ignore-scripts --no-audit --no-fund --fetch-retries=0 --fetch-timeout=20000 --prefer-offline
    WORKING_DIRECTORY ${WORK} RESULT_VARIABLE failed OUTPUT_FILE ${WORK}/npm.log ERROR_FILE ${WORK}/npm.log TIMEOUT 120)
  if(failed)
    without_page("npm could not install its packages when it was built (no network?): ${again}")
    return()
  endif()
  file(WRITE ${WORK}/installed ${lock})
endif()
execute_process(COMMAND ${NODE} build.mjs ${OUT} dist WORKING_DIRECTORY ${WORK} RESULT_VARIABLE failed
  OUTPUT_FILE ${WORK}/build.log ERROR_FILE ${WORK}/build.log)
if(failed)
  # What is wrong with the page's own source must be seen.
  file(READ ${WORK}/build.log log)
  message(FATAL_ERROR "The page cannot be bundled:\n${log}")
endif()
