# Runs COMMAND and compares what it prints, and that it prints no fault, with the file EXPECTED. A number with a point, and
# what stands after a "resumes/s=" or "at ", is a measurement: "<n>" in the file.
execute_process(COMMAND ${COMMAND} OUTPUT_VARIABLE printed ERROR_VARIABLE faults RESULT_VARIABLE status)
string(REGEX REPLACE "[0-9]+\\.[0-9]+|(resumes/s=|at )[0-9]+" "\\1<n>" printed "${printed}")
file(READ "${EXPECTED}" expected)
if(NOT status EQUAL 0 OR NOT faults STREQUAL "" OR NOT printed STREQUAL expected)
  message(FATAL_ERROR "exit status ${status}, faults: '${faults}'\nprinted:\n${printed}\nexpected:\n${expected}")
endif()
message("1 passed, 0 failed")
