# What CPack makes of the four components (cmake/Install.cmake): a Debian package of each, and one tarball of all.
# `make packages` runs it on the preset of that name. What lies outside of a prefix, and how Debian lays out
# documentation, is debian.cmake's.
set(CPACK_PACKAGE_NAME quarry)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_VENDOR "Quarry")
set(CPACK_PACKAGE_CONTACT "Quarry maintainers <maintainers@quarry.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "cache, key-value and time-series server under one memory limit")
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR})
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
                                                WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL program library development malloc)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/debian.cmake)
set(CPACK_QUARRY_PACKAGING ${CMAKE_CURRENT_LIST_DIR})

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(built ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME quarry)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers, passwd")
set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS quarry-malloc)
set(CPACK_COMPONENT_PROGRAM_DESCRIPTION "server of a cache, a key-value store and time series
Answers the clients of memcached, Redis and Prometheus, each with a store of
its own, all under one memory limit that is never passed. It listens on this
machine alone until users are set up. The same program looks into its heap
and works on stores in directories.")
set(CPACK_DEBIAN_PROGRAM_PACKAGE_CONTROL_EXTRA
    ${CMAKE_CURRENT_LIST_DIR}/postinst ${CMAKE_CURRENT_LIST_DIR}/prerm ${CMAKE_CURRENT_LIST_DIR}/postrm
    ${CMAKE_CURRENT_LIST_DIR}/conffiles)

set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libquarry1)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
# Who is linked with them depends on the package.
foreach(component library malloc)
  string(TOUPPER ${component} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_LIST_DIR}/${component}/shlibs
                                                  ${CMAKE_CURRENT_LIST_DIR}/${component}/triggers)
endforeach()
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "memory heap and embedded stores, shared libraries
Pages, object lifetimes, arenas, slabs, a cache, an ordered key-value store in
RocksDB's files and a time-series store, for programs that embed them. With it
comes LevelDB's C interface on the same store.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libquarry-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libquarry1 (= ${built})")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "memory heap and embedded stores, headers
What a program needs to be built with libquarry: headers, the link's name, and
how pkg-config and CMake find it.")

set(CPACK_DEBIAN_MALLOC_PACKAGE_NAME quarry-malloc)
set(CPACK_DEBIAN_MALLOC_PACKAGE_SECTION libs)
set(CPACK_COMPONENT_MALLOC_DESCRIPTION "malloc on Quarry's page heap, for any program
A library to preload in the place of the C library's malloc. While a program
runs on it, the tools of the package quarry show its heap, and a limit can be
put on it.")

include(CPack)
