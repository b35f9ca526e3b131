# Tests. The *_test.cpp files of the folder tests/F and its rooms become the executable test_F, *_mpi_test.cpp become
# test_F_mpi, and every source file is one ctest entry F/ROOM/NAME (F/ROOM/NAME.np2 under mpirun), selected by Catch's
# file name tags, so a file's name is the only one of its kind in a folder.
# *_test.py are entries run by the system's Python with DROVER_BIN in the environment, and DROVER_TOOLS, where the
# programs made of *_tool.cpp are; DROVER_MPIRUN starts such a program on several ranks. Those named mpi_* exist only
# with MPI.
# Labels: unit, mpi, and parity, interop for the folders of those names.
find_package(Catch2 REQUIRED)
find_program(DROVER_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)  # where Debian's modules are
find_program(DROVER_PYTHON python3)

set(DROVER_MPI_TEST_RANKS 1 2 4)
set(DROVER_MPIRUN ${MPIEXEC_EXECUTABLE} --oversubscribe --bind-to none --mca pml ob1 --mca btl self,vader
  ${MPIEXEC_NUMPROC_FLAG})
list(JOIN DROVER_MPIRUN " " DROVER_MPIRUN_LINE)
set(DROVER_TEST_ENVIRONMENT
  OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  DROVER_SOURCE_DIR=${CMAKE_SOURCE_DIR} DROVER_BIN=${CMAKE_BINARY_DIR}/drover DROVER_TOOLS=${CMAKE_BINARY_DIR}/tests
  "DROVER_MPIRUN=${DROVER_MPIRUN_LINE}")
if(DROVER_SANITIZE MATCHES "address")
  list(APPEND DROVER_TEST_ENVIRONMENT
    "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/lsan.supp:print_suppressions=0:fast_unwind_on_malloc=0"
    "UBSAN_OPTIONS=print_stacktrace=1")
endif()
if(DROVER_SANITIZE MATCHES "thread")
  list(APPEND DROVER_TEST_ENVIRONMENT "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/tsan.supp")
endif()
set(DROVER_CATCH_FLAGS -\#)
if(Catch2_VERSION VERSION_LESS 3)
  list(APPEND DROVER_CATCH_FLAGS -w NoTests)  # version 3 fails on an empty selection by itself
endif()

add_library(drover_test_main OBJECT tests/support/catch_main.cpp)
target_link_libraries(drover_test_main PUBLIC drover::options Catch2::Catch2 PRIVATE drover::warnings)
if(DROVER_WITH_MPI)
  add_library(drover_test_mpi_main OBJECT tests/support/mpi_main.cpp)
  target_link_libraries(drover_test_mpi_main PUBLIC drover_parallel drover::mpi Catch2::Catch2 PRIVATE drover::warnings)
endif()

# What the sanitizer presets build: everything but the kinds that run the whole program.
add_custom_target(unit_and_mpi_tests)

function(drover_add_test name label timeout)
  if(DROVER_SANITIZE)
    math(EXPR timeout "4 * ${timeout}")
  endif()
  add_test(NAME ${name} COMMAND ${ARGN})
  set_tests_properties(${name} PROPERTIES
    LABELS ${label} TIMEOUT ${timeout} SKIP_RETURN_CODE 77 ENVIRONMENT "${DROVER_TEST_ENVIRONMENT}")
endfunction()

# What a test may call: its own folder and what that may include; the kinds without a folder get everything.
function(drover_test_executable target folder main)
  add_executable(${target} ${ARGN})
  set(library drover_launch)
  if(TARGET drover_${folder})
    set(library drover_${folder})
  endif()
  target_link_libraries(${target} PRIVATE ${main} ${library} drover::warnings drover::hdf5
    nlohmann_json::nlohmann_json fmt::fmt)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(TARGET drover_${folder})
    add_dependencies(unit_and_mpi_tests ${target})
  endif()
endfunction()

# NAME: the entry of a test's source file, "core/ops/matmul" for tests/core/ops/matmul_test.cpp and suffix "_test".
function(drover_test_name result source suffix)
  file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR}/tests ${source})
  string(REGEX REPLACE "${suffix}\\.[a-z]+$" "" name ${name})
  set(${result} ${name} PARENT_SCOPE)
endfunction()

function(drover_test_folder folder)
  set(label unit)
  set(timeout 180)
  if(folder MATCHES "^(parity|interop)$")
    set(label ${folder})
    set(timeout 600)
  endif()
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS tests/${folder}/*_test.cpp)
  set(mpi_sources ${sources})
  list(FILTER sources EXCLUDE REGEX "_mpi_test\\.cpp$")
  list(FILTER mpi_sources INCLUDE REGEX "_mpi_test\\.cpp$")
  if(sources)
    drover_test_executable(test_${folder} ${folder} drover_test_main ${sources})
  endif()
  foreach(source IN LISTS sources)
    get_filename_component(file ${source} NAME_WE)
    drover_test_name(name ${source} _test)
    drover_add_test(${name} ${label} ${timeout}
      $<TARGET_FILE:test_${folder}> ${DROVER_CATCH_FLAGS} "[#${file}]")
  endforeach()
  if(mpi_sources AND DROVER_WITH_MPI)
    drover_test_executable(test_${folder}_mpi ${folder} drover_test_mpi_main ${mpi_sources})
    foreach(source IN LISTS mpi_sources)
      get_filename_component(file ${source} NAME_WE)
      drover_test_name(name ${source} _mpi_test)
      foreach(ranks IN LISTS DROVER_MPI_TEST_RANKS)
        drover_add_test(${name}.np${ranks} mpi 120
          ${DROVER_MPIRUN} ${ranks} $<TARGET_FILE:test_${folder}_mpi> ${DROVER_CATCH_FLAGS} "[#${file}]")
        set_tests_properties(${name}.np${ranks} PROPERTIES PROCESSORS 2)
      endforeach()
    endforeach()
  endif()
  # Programs that the folder's scripts run, from DROVER_TOOLS.
  file(GLOB_RECURSE tools CONFIGURE_DEPENDS tests/${folder}/*_tool.cpp)
  file(GLOB_RECURSE scripts CONFIGURE_DEPENDS tests/${folder}/*_test.py)
  if(NOT DROVER_WITH_MPI)
    list(FILTER tools EXCLUDE REGEX "/mpi_[^/]*$")
    list(FILTER scripts EXCLUDE REGEX "/mpi_[^/]*$")
  endif()
  foreach(source IN LISTS tools)
    get_filename_component(tool ${source} NAME_WE)
    add_executable(${tool} ${source})
    target_link_libraries(${tool} PRIVATE drover_launch drover::warnings)
    set_target_properties(${tool} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  endforeach()
  foreach(script IN LISTS scripts)
    drover_test_name(name ${script} _test)
    drover_add_test(${name}.py ${label} ${timeout} ${DROVER_PYTHON} -B ${script})
  endforeach()
endfunction()

file(GLOB test_folders CONFIGURE_DEPENDS LIST_DIRECTORIES true RELATIVE ${CMAKE_SOURCE_DIR}/tests tests/*)
foreach(folder IN LISTS test_folders)
  if(IS_DIRECTORY ${CMAKE_SOURCE_DIR}/tests/${folder})
    drover_test_folder(${folder})
  endif()
endforeach()
# On the other one of the two paths of which a process can use one; where there is no amx, the same once more.
foreach(name every_op matmul)
  drover_add_test(core/ops/${name}.without_amx unit 180
    $<TARGET_FILE:test_core> ${DROVER_CATCH_FLAGS} "[#${name}_test]")
  set_property(TEST core/ops/${name}.without_amx APPEND PROPERTY ENVIRONMENT DROVER_TEST_WITHOUT_AMX=1)
endforeach()
# Runs the whole program, page after page.
set_tests_properties(scripts/doc_commands.py PROPERTIES TIMEOUT 600)
