# Writes the deployment's files below YARD_DEPLOY_TO: with YARD_PROGRAMS, the folder of the actors' programs, and YARD_CONFIGURATION, the
# path of modelyard.yaml, put into those that end in .in. Used while configuring and while installing.
file (REMOVE_RECURSE ${YARD_DEPLOY_TO}/systemd ${YARD_DEPLOY_TO}/sysusers.d ${YARD_DEPLOY_TO}/tmpfiles.d)
file (GLOB_RECURSE files RELATIVE ${CMAKE_CURRENT_LIST_DIR}
    ${CMAKE_CURRENT_LIST_DIR}/systemd/* ${CMAKE_CURRENT_LIST_DIR}/sysusers.d/* ${CMAKE_CURRENT_LIST_DIR}/tmpfiles.d/*)
foreach (file ${files})
    string (REGEX REPLACE "\\.in$" "" name ${file})
    configure_file (${CMAKE_CURRENT_LIST_DIR}/${file} ${YARD_DEPLOY_TO}/${name} @ONLY)
endforeach ()
