# The simulated NCCL and its tests; included by CMakeLists.txt, where CUDA was found. Built from the real nccl.h.
find_path (NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
if (NOT NCCL_INCLUDE_DIR OR NOT NCCL_LIBRARY)
    message (STATUS "NCCL not found: no simulated NCCL")
    return ()
endif ()

simcuda_library (simnccl libnccl.so.2 nccl.map
    nccl_api.c nccl_arena.c nccl_collective.c nccl_comm.c nccl_error.c nccl_group.c nccl_root.c)
target_include_directories (simnccl SYSTEM PUBLIC ${NCCL_INCLUDE_DIR})
target_link_libraries (simnccl PRIVATE simcudart)
set_target_properties (simnccl PROPERTIES BUILD_RPATH "\$ORIGIN")

# A rank of the tests; and the program whose answers are compared with the real library's, so without a sanitizer.
add_executable (simnccl_rank nccl_rank.c)
add_executable (simnccl_answers nccl_answers.c)
foreach (program simnccl_rank simnccl_answers)
    target_include_directories (${program} PRIVATE ${CMAKE_SOURCE_DIR})
    target_link_libraries (${program} PRIVATE simnccl simcudart Threads::Threads)
    set_target_properties (${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endforeach ()
target_compile_options (simnccl_answers PRIVATE -fno-sanitize=all)
set_target_properties (simnccl_answers PROPERTIES LINK_OPTIONS "")

get_filename_component (real_nccl_folder ${NCCL_LIBRARY} DIRECTORY)
foreach (name nccl_test nccl_end_test nccl_real_test)
    add_executable (${name} ${name}.c nccl_bed.c)
    add_dependencies (${name} simnccl_rank simnccl_answers)
    target_include_directories (${name} PRIVATE ${CMAKE_SOURCE_DIR})
    target_compile_definitions (${name} PRIVATE SIMNCCL_RANK="$<TARGET_FILE:simnccl_rank>"
        SIMNCCL_ANSWERS="$<TARGET_FILE:simnccl_answers>" REAL_NCCL_FOLDER="${real_nccl_folder}"
        SIMCUDA_FOLDER="${CMAKE_BINARY_DIR}/simcuda")
    target_link_libraries (${name} PRIVATE PkgConfig::CMOCKA)
    set_target_properties (${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test (NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties (${name} PROPERTIES TIMEOUT 300)
endforeach ()
