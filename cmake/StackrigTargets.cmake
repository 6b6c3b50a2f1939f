# SPDX-License-Identifier: Apache-2.0
# The few kinds of target that this project has, each with one function.
include(GoogleTest)
find_package(Threads REQUIRED)
find_package(GTest REQUIRED)
find_package(benchmark QUIET)
find_package(PkgConfig REQUIRED)

# stackrig_library(name SOURCES ... DEPS ...): a building block under systems/lib, linked as
# stackrig::name, included as "name/header.h".
function(stackrig_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  if(A_SOURCES)
    add_library(stackrig_${name} STATIC ${A_SOURCES})
    target_link_libraries(stackrig_${name} PUBLIC ${A_DEPS} Threads::Threads)
  else()
    add_library(stackrig_${name} INTERFACE)
    target_link_libraries(stackrig_${name} INTERFACE ${A_DEPS})
  endif()
  add_library(stackrig::${name} ALIAS stackrig_${name})
endfunction()

# stackrig_test(name SOURCES ... DEPS ... [LABELS ...]): a GoogleTest program, found by ctest.
# Label "root" marks tests that make namespaces or attach XDP programs: ctest runs them one at a time.
# Label "threads" marks those that have threads of their own: the thread sanitizer runs them.
# Target "tests" builds them all with what they run, and nothing else: what a sanitizer needs.
add_custom_target(tests)
function(stackrig_test name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE ${A_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  set_property(TARGET ${name} PROPERTY INTERPROCEDURAL_OPTIMIZATION OFF)
  if(STACKRIG_LTO AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_link_options(${name} PRIVATE -fno-lto -fno-use-linker-plugin)
  endif()
  set(_labels unit ${A_LABELS})
  set(_serial OFF)
  if("root" IN_LIST A_LABELS)
    set(_serial ON)
  endif()
  add_dependencies(tests ${name})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${_labels}" TIMEOUT 900 RUN_SERIAL ${_serial})
endfunction()

# stackrig_program(name SOURCES ... DEPS ...): an executable of the project. Target "programs" builds
# them all, without the tests: what running an experiment needs.
add_custom_target(programs)
function(stackrig_program name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE ${A_DEPS})
  add_dependencies(programs ${name})
endfunction()

# stackrig_benchmark(name SOURCES ... DEPS ...): a micro-benchmark or a measuring program; built,
# never run as a test.
function(stackrig_benchmark name)
  stackrig_program(${name} ${ARGN})
  if(TARGET benchmark::benchmark)
    target_link_libraries(${name} PRIVATE benchmark::benchmark)
  endif()
endfunction()

# stackrig_fuzzer(name SOURCES ... DEPS ...): a libFuzzer target in the fuzz preset; elsewhere nothing.
# Target "fuzzers" builds them all, into fuzzers/ of the build folder. Seeds lie in corpus/NAME/ beside
# the source.
if(STACKRIG_FUZZ)
  add_custom_target(fuzzers)
endif()
function(stackrig_fuzzer name)
  if(STACKRIG_FUZZ)
    stackrig_program(${name} ${ARGN})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzzers)
    add_dependencies(fuzzers ${name})
  endif()
endfunction()

# stackrig_bpf_command(source folder name output [COMMAND ...]): compiles a BPF program to
# folder/name.bpf.o; the commands make `output` of it, where that is another file. STACKRIG_BPF_OPTIONS of the
# calling folder are further options of the compiler.
find_program(BPF_CLANG NAMES clang-14 clang REQUIRED)
function(stackrig_bpf_command source folder name output)
  file(MAKE_DIRECTORY ${folder})
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${BPF_CLANG} -target bpf ${STACKRIG_BPF_OPTIONS} -O2 -g -Wall -Werror
            -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE} -I${CMAKE_SOURCE_DIR}/systems/lib
            -MD -MF ${folder}/${name}.d -MT ${output}
            -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${folder}/${name}.bpf.o
    ${ARGN}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${source}
    DEPFILE ${folder}/${name}.d
    VERBATIM)
endfunction()

# stackrig_bpf(target source name): compiles a BPF program and makes the header name.skel.h, which
# carries it, part of the target.
function(stackrig_bpf target source name)
  find_program(BPFTOOL bpftool HINTS /usr/sbin /sbin REQUIRED)
  set(_folder ${CMAKE_CURRENT_BINARY_DIR}/bpf)
  stackrig_bpf_command(${source} ${_folder} ${name} ${_folder}/${name}.skel.h
    COMMAND ${BPFTOOL} gen skeleton ${_folder}/${name}.bpf.o name ${name}_bpf > ${_folder}/${name}.skel.h)
  target_sources(${target} PRIVATE ${_folder}/${name}.skel.h)
  target_include_directories(${target} SYSTEM PRIVATE ${_folder})
endfunction()

# stackrig_bpf_object(source name): compiles a BPF program that is loaded by `ip link`, to
# bpf/name.bpf.o of the build folder; part of target "programs".
function(stackrig_bpf_object source name)
  set(_folder ${CMAKE_BINARY_DIR}/bpf)
  stackrig_bpf_command(${source} ${_folder} ${name} ${_folder}/${name}.bpf.o)
  add_custom_target(${name}_bpf ALL DEPENDS ${_folder}/${name}.bpf.o)
  add_dependencies(programs ${name}_bpf)
endfunction()
