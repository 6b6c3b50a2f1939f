# SPDX-License-Identifier: Apache-2.0
# The module, built by the kernel's own build system in module/ of the build folder: for the kernel that runs,
# where its headers are installed, else for the newest one whose headers are; STACKRIG_KERNEL_HEADERS names
# another.
set(STACKRIG_KERNEL_HEADERS "" CACHE PATH "Kernel headers (or a built kernel) that the module is built against")

function(find_kernel_headers result)
  if(STACKRIG_KERNEL_HEADERS)
    set(${result} ${STACKRIG_KERNEL_HEADERS} PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND uname -r OUTPUT_VARIABLE _running OUTPUT_STRIP_TRAILING_WHITESPACE)
  file(GLOB _installed /lib/modules/*/build)
  list(SORT _installed COMPARE NATURAL ORDER DESCENDING)
  foreach(_headers IN ITEMS /lib/modules/${_running}/build LISTS _installed)
    if(EXISTS ${_headers}/Makefile)
      set(${result} ${_headers} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  set(${result} "" PARENT_SCOPE)
endfunction()

set(SLICK_SKIPPED "")
find_kernel_headers(_headers)
find_program(KBUILD_MAKE make)
if(STACKRIG_SANITIZE OR STACKRIG_FUZZ)
  set(SLICK_SKIPPED "a kernel module has no user-space sanitizer")
elseif(NOT CMAKE_SYSTEM_PROCESSOR STREQUAL x86_64)
  set(SLICK_SKIPPED "its tests know Debian's kernel for x86_64 only")
elseif(NOT _headers)
  set(SLICK_SKIPPED "no kernel headers are installed (Debian: linux-headers-amd64)")
elseif(NOT KBUILD_MAKE)
  set(SLICK_SKIPPED "make is not installed")
endif()
set(_folder ${CMAKE_CURRENT_BINARY_DIR}/module)
if(SLICK_SKIPPED)
  message(STATUS "Kernel module slick: skipped, because ${SLICK_SKIPPED}")
  return()
endif()

file(GLOB _sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c ${CMAKE_CURRENT_SOURCE_DIR}/*.h
     ${CMAKE_CURRENT_SOURCE_DIR}/Kbuild)
add_custom_command(
  OUTPUT ${_folder}/slick.ko
  COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/build-module ${_headers} ${_folder} ${_sources}
  DEPENDS ${_sources} build-module
  COMMENT "Building kernel module slick for ${_headers}"
  VERBATIM)
add_custom_target(slick_module ALL DEPENDS ${_folder}/slick.ko)
add_dependencies(programs slick_module)
