# What an installation has beside Python files: manual pages and completions, below share/ of its prefix. man(1) finds
# them from PATH, a distribution's prefix is where every shell looks.
set(KC_SHARE "${SKBUILD_DATA_DIR}/share")
set(KC_ROOT "${PROJECT_SOURCE_DIR}/..")
foreach(section 1 5 7)
  file(GLOB KC_PAGES CONFIGURE_DEPENDS "${KC_ROOT}/man/*.${section}")
  install(FILES ${KC_PAGES} DESTINATION "${KC_SHARE}/man/man${section}")
endforeach()
install(FILES "${KC_ROOT}/completions/kcoro.bash" DESTINATION "${KC_SHARE}/bash-completion/completions" RENAME kcoro)
install(FILES "${KC_ROOT}/completions/_kcoro" DESTINATION "${KC_SHARE}/zsh/site-functions")
install(FILES "${KC_ROOT}/completions/kcoro.fish" DESTINATION "${KC_SHARE}/fish/vendor_completions.d")
