# libquarry.so, and what `cmake --install` puts under a prefix. The installed tree may be moved as a
# whole: nothing in it holds an absolute path. Four components, of which packaging/ makes packages:
#   program      bin/quarry, libexec/quarry, manual pages, completion for shells, the licence
#   library      libquarry.so.1, libquarry-leveldb.so.1
#   development  headers, the links libquarry.so and libquarry-leveldb.so, quarry.pc, the CMake package
#   malloc       libquarry-malloc.so
include(CMakePackageConfigHelpers)

if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  message(FATAL_ERROR "CMAKE_INSTALL_LIBDIR and CMAKE_INSTALL_INCLUDEDIR must be relative to the prefix")
endif()

quarry_shared_library(quarry MAP ${PROJECT_SOURCE_DIR}/cmake/quarry.map
                      LAYERS base checksum os page mem ref budget arena slab block vfs cache kv tsdb promql)

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
if(TARGET quarry_cli)
  install(TARGETS quarry_cli RUNTIME COMPONENT program)
  if(NOT QUARRY_SANITIZE AND NOT QUARRY_CHECK_ONLY)
    set(completion_dir ${PROJECT_BINARY_DIR}/src/cli/completion)
    install(FILES ${completion_dir}/quarry DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
            COMPONENT program)
    install(FILES ${completion_dir}/_quarry DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions
            COMPONENT program)
    install(FILES ${completion_dir}/quarry.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d
            COMPONENT program)
  endif()
  # Where `quarry bench` looks for it: beside bin, whatever CMAKE_INSTALL_LIBEXECDIR says.
  install(TARGETS quarry_bench_child quarry_bench_kv RUNTIME DESTINATION libexec/quarry COMPONENT program)
endif()

# `quarry run` preloads it, by the name without a version.
if(TARGET quarry-malloc)
  install(TARGETS quarry-malloc LIBRARY COMPONENT malloc)
endif()

# Programs preload it too, by its name with the version, or are linked with it: its header is LevelDB's.
if(TARGET quarry-leveldb)
  install(TARGETS quarry-leveldb LIBRARY COMPONENT library NAMELINK_COMPONENT development)
endif()

if(TARGET quarry)
  target_include_directories(quarry INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                              $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/quarry)
  install(TARGETS quarry EXPORT quarryTargets
          LIBRARY COMPONENT library NAMELINK_COMPONENT development)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/quarry DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
          COMPONENT development FILES_MATCHING PATTERN "*.h")

  file(RELATIVE_PATH QUARRY_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" QUARRY_PC_PREFIX "${QUARRY_PC_PREFIX}")
  configure_file(${PROJECT_SOURCE_DIR}/cmake/quarry.pc.in quarry.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/quarry.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
          COMPONENT development)

  configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/quarryConfig.cmake.in quarryConfig.cmake
                                INSTALL_DESTINATION ${package_dir})
  write_basic_package_version_file(quarryConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/quarryConfig.cmake ${PROJECT_BINARY_DIR}/quarryConfigVersion.cmake
          DESTINATION ${package_dir} COMPONENT development)
  install(EXPORT quarryTargets NAMESPACE quarry:: DESTINATION ${package_dir} COMPONENT development)
endif()
