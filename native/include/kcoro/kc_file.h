/* kc_file.h: messages that carry open files beside their bytes.
 *
 * To the engine a file is a number that somebody must close. It makes no system call: what nobody wants any more waits
 * in kc_file_take, and the taker closes it, in a thread of its own if that may block.
 *
 * Invariants: a file belongs to exactly one body record from kc_file_attach on; the record's last reference hands it to
 * kc_file_take, once. It is charged to its account until kc_file_closed: also while close(2) takes its time.
 */
#ifndef KC_FILE_H
#define KC_FILE_H

#ifndef KC_CDEF
#include "kcoro/kc_chan.h"
#ifdef __cplusplus
extern "C" {
#endif
#endif

/* Charges so many files to the account and to the engine: KC_EDQUOT (KC_QUOTA_ACCOUNT_FILES, KC_QUOTA_ENGINE_FILES). To
 * be paid before kc_file_attach, and refunded if that never comes. */
KC_API int kc_file_pay(kc_engine *engine, uint32_t account, uint32_t count, kc_refusal *refusal);
KC_API void kc_file_refund(kc_engine *engine, uint32_t account, uint32_t count);

/* Gives 1 to 16 paid files to a body that has no extra yet; they share its life. `user` is told by kc_chan_files. On a
 * refusal the files stay the caller's. */
KC_API int kc_file_attach(kc_engine *engine, kc_body *body, uint64_t user, const int32_t *files, uint32_t count,
                          kc_refusal *refusal);
/* The body's files, lent while the caller holds a reference: up to 16; of a range of a region its one file. */
KC_API uint32_t kc_body_files(kc_engine *engine, const kc_body *body, int32_t *files);

enum {
    KC_FILE_TAKERS = 4,    /* of one account at a time: closes that hang are nobody else's loss */
    KC_FILE_SURPLUS = 253, /* files over its limit that an account may have discarded before it is over */
    KC_FILE_PATIENCE_NS = 1000000000 /* without a file closed: they do not lag, they hang */
};
/* A file that was never in a body is to be closed. `paid`: with kc_file_pay; else it is charged from now on, whatever
 * the limit says, because it is there. KC_ENOMEM: the caller's to close after all, and not charged any more. */
KC_API int kc_file_discard(kc_engine *engine, uint32_t account, int32_t file, int paid);
/* 1: so many files of it wait to be closed that it must not bring more. */
KC_API int kc_file_is_over(kc_engine *engine, uint32_t account);
/* 1: more than half its limit is to be closed, and the last close is less than KC_FILE_PATIENCE_NS ago by the engine's
 * clock. What it brings now would meet its limit although nothing hangs: let it wait. */
KC_API int kc_file_lags(kc_engine *engine, uint32_t account);
/* Files that nobody wants any more, all of one account, the caller's to close: whole messages only, so max is 16 or
 * more. With them the caller is one of the account's takers, until kc_file_closed. */
KC_API uint32_t kc_file_take(kc_engine *engine, int32_t *files, uint32_t max, uint32_t *account_out);
/* All that one kc_file_take gave is closed. */
KC_API void kc_file_closed(kc_engine *engine, uint32_t account, uint32_t count);
/* How many accounts have something for a taker. */
KC_API uint32_t kc_file_left(kc_engine *engine);

typedef struct kc_file_info {
    uint64_t user;    /* who sent them */
    int64_t age_ns;   /* since the message was made */
    uint32_t account;
    uint32_t count;
} kc_file_info;
/* The messages with files that wait in the channel (READY), oldest first, skipping `skip`; how many, or KC_ENOENT. */
KC_API int kc_chan_files(kc_engine *engine, kc_chan chan, uint32_t skip, kc_file_info *infos, uint32_t max);

#ifndef KC_CDEF
#ifdef __cplusplus
}
#endif
#endif
#endif
