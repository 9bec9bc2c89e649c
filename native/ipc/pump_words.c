/* pump_words.c: every reason and every quota in the words that a peer reads. Settings are those of the daemon's
 * configuration; a quota without one is a size fixed when the daemon starts. */
#include "ipc/kc_pump_parts.h"

static const char *const kc_reasons[] = {
    [KC_REASON_CANCEL] = "cancelled",
    [KC_REASON_TIMEOUT] = "timed out",
    [KC_REASON_DEAD] = "the client hung up",
    [KC_REASON_DESTROYED] = "the channel was destroyed",
    [KC_REASON_EVICTED] = "evicted by a newer message",
    [KC_REASON_DEAD_LETTERED] = "moved to the dead-letter channel",
    [KC_REASON_ATTEMPTS] = "dropped after its last delivery attempt",
    [KC_REASON_PURGED] = "purged",
    [KC_REASON_SHUTDOWN] = "shutting down",
    [KC_REASON_POISONED] = "the channel broke an invariant and was destroyed",
    [KC_REASON_UNDELIVERED] = "dropped undelivered",
    [KC_REASON_EXPIRED] = "expired",
    [KC_REASON_REVOKED] = "its memory was taken back",
};

const char *kc_reason_words(uint32_t reason)
{
    return reason < sizeof kc_reasons / sizeof *kc_reasons ? kc_reasons[reason] : NULL;
}

static const kc_quota_words kc_quotas[] = {
    [KC_QUOTA_CHANNEL_PARKED] = {"parked per channel", "limits.parked_per_channel"},
    [KC_QUOTA_SCOPE_PARKED] = {"parked per connection", "limits.parked_per_connection"},
    [KC_QUOTA_SCOPE_HELD] = {"held per connection", "limits.held_per_connection"},
    [KC_QUOTA_ACCOUNT_PARKED] = {"parked per uid", "limits.parked_per_uid"},
    [KC_QUOTA_ACCOUNT_CHANNELS] = {"channels per uid", "limits.channels_per_uid"},
    [KC_QUOTA_ACCOUNT_BYTES] = {"bytes per uid", "limits.bytes_per_uid"},
    [KC_QUOTA_ENGINE_CHANNELS] = {"channels", "limits.channels"},
    [KC_QUOTA_ENGINE_TOKENS] = {"waiters", "limits.tokens"},
    [KC_QUOTA_ENGINE_CLAUSES] = {"select clauses", "limits.clauses"},
    [KC_QUOTA_ENGINE_MESSAGES] = {"messages", "limits.messages"},
    [KC_QUOTA_ENGINE_BYTES] = {"bytes", "limits.bytes"},
    [KC_QUOTA_ENGINE_SCOPES] = {"connections", "limits.connections"},
    [KC_QUOTA_ENGINE_ACCOUNTS] = {"uids", "limits.accounts"},
    [KC_QUOTA_ENGINE_PORTS] = {"ports", "limits.ports"},
    [KC_QUOTA_ENGINE_FILES] = {"files", "limits.files"},
    [KC_QUOTA_ENGINE_REGIONS] = {"regions", "limits.regions"},
    [KC_QUOTA_ACCOUNT_FILES] = {"files per uid", "limits.files_per_uid"},
    [KC_QUOTA_ACCOUNT_MESSAGES] = {"messages per uid", "limits.messages_per_uid"},
    [KC_QUOTA_ACCOUNT_HELD] = {"held per uid", "limits.held_per_uid"},
    [KC_QUOTA_CONN_REQUESTS] = {"requests per connection", "limits.requests_per_connection"},
    [KC_QUOTA_DESCRIPTORS] = {"open files of the daemon", "LimitNOFILE"},
    [KC_QUOTA_CONN_LEASES] = {"leases per connection", NULL},
    [KC_QUOTA_CONN_FRAMES] = {"frames per second per connection", "limits.frames_per_second_per_connection"},
    [KC_QUOTA_ACCOUNT_FRAMES] = {"frames per second per uid", "limits.frames_per_second_per_uid"},
};

kc_quota_words kc_quota_words_of(uint32_t quota)
{
    return quota < sizeof kc_quotas / sizeof *kc_quotas ? kc_quotas[quota] : (kc_quota_words){NULL, NULL};
}
