# Run by CPack between the staging of the components and the making of packages: adds what Debian's packages have
# and an installation under a prefix has not, and packs manual pages and changelogs as Debian wants them.
# The tarball stays as it was installed.
if(NOT CPACK_GENERATOR STREQUAL "DEB")
  return()
endif()

# debian_pack(FILE): FILE.gz in its place, without name and time in it.
function(debian_pack file)
  execute_process(COMMAND gzip -9nf ${file} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# The staging's, which file(INSTALL) would go by.
set(staging "$ENV{DESTDIR}")
unset(ENV{DESTDIR})
set(files ${CPACK_QUARRY_PACKAGING})
foreach(component program library development malloc)
  string(TOUPPER ${component} upper)
  set(name ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  set(root ${CPACK_TEMPORARY_DIRECTORY}/${component})
  set(documents ${root}/usr/share/doc/${name})
  file(REMOVE_RECURSE ${documents}) # the licence, which `copyright` names
  file(INSTALL ${files}/copyright DESTINATION ${documents})
  file(INSTALL ${files}/changelog DESTINATION ${documents} RENAME changelog.Debian)
  debian_pack(${documents}/changelog.Debian)
  if(EXISTS ${files}/${name}.lintian-overrides)
    file(INSTALL ${files}/${name}.lintian-overrides DESTINATION ${root}/usr/share/lintian/overrides RENAME ${name})
  endif()
endforeach()

set(root ${CPACK_TEMPORARY_DIRECTORY}/program)
file(INSTALL ${files}/quarry.conf DESTINATION ${root}/etc/quarry)
file(INSTALL ${files}/quarry.service DESTINATION ${root}/lib/systemd/system)
file(INSTALL ${files}/quarry.sysusers DESTINATION ${root}/usr/lib/sysusers.d RENAME quarry.conf)
file(GLOB manuals ${root}/usr/share/man/man*/*.[1-8])
foreach(manual ${manuals})
  debian_pack(${manual})
endforeach()
set(ENV{DESTDIR} "${staging}")
