# libaviary: all rooms below the program in one shared library, with a CMake package and a pkg-config file.
# Shared, so that its users link one file and do not need the packages that it was built with.

configure_file(include/aviary/version.h.in generated/include/aviary/version.h @ONLY)

function(aviary_library)
  set(objects "")
  set(links "")
  foreach(room ${ARGN})
    get_target_property(type aviary_${room} TYPE)
    if(type STREQUAL STATIC_LIBRARY)
      list(APPEND objects $<TARGET_OBJECTS:aviary_${room}>)
      get_target_property(room_links aviary_${room} LINK_LIBRARIES)
    else()
      get_target_property(room_links aviary_${room} INTERFACE_LINK_LIBRARIES)
    endif()
    list(APPEND links ${room_links})
  endforeach()
  # The rooms are included as objects; only their external dependencies remain to be linked.
  list(TRANSFORM ARGN PREPEND aviary_ OUTPUT_VARIABLE rooms)
  list(REMOVE_ITEM links ${rooms})
  list(REMOVE_DUPLICATES links)

  add_library(aviary SHARED ${objects})
  add_library(aviary::aviary ALIAS aviary)
  target_include_directories(aviary PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(aviary PUBLIC cxx_std_20)
  target_link_libraries(aviary PRIVATE $<BUILD_INTERFACE:${links}>)
  target_link_options(aviary PRIVATE LINKER:--as-needed)
  set_target_properties(aviary PROPERTIES LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
  aviary_install_library()
endfunction()

function(aviary_install_library)
  include(CMakePackageConfigHelpers)
  set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/aviary)
  file(RELATIVE_PATH pkgconfig_to_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
  configure_file(cmake/aviary.pc.in generated/aviary.pc @ONLY)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/generated/aviary-config-version.cmake
    COMPATIBILITY SameMinorVersion)

  install(TARGETS aviary EXPORT aviary)
  install(EXPORT aviary NAMESPACE aviary:: FILE aviary-config.cmake DESTINATION ${package_dir})
  install(FILES ${PROJECT_BINARY_DIR}/generated/aviary-config-version.cmake DESTINATION ${package_dir})
  install(FILES ${PROJECT_BINARY_DIR}/generated/aviary.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
  install(DIRECTORY include/aviary ${PROJECT_BINARY_DIR}/generated/include/aviary
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h PATTERN *.hpp)
  install(FILES LICENSE README.md TYPE DOC OPTIONAL)
endfunction()
