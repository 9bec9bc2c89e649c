/* due.c: the deadlines of a connection, the next one first (kc_client.h): a pairing heap whose nodes lie in what has
 * the deadline, so that setting one needs no memory.
 *
 * Invariants: no node is before the one that it hangs on; `before` of a first child is its parent, of another one its
 * sibling. Setting costs one comparison, taking one out a logarithm of them in the mean.
 */
#include "client/kc_client.h"

static kc_due *kc_due_meld(kc_ipc *ipc, kc_due *one, kc_due *other)
{
    if (one == NULL || other == NULL) {
        return one != NULL ? one : other;
    }
    ipc->steps++;
    kc_due *first = other->at_ns < one->at_ns ? other : one;
    kc_due *second = first == one ? other : one;
    second->before = first;
    second->next = first->child;
    if (first->child != NULL) {
        first->child->before = second;
    }
    first->child = second;
    return first;
}

/* One heap of these siblings: in pairs from the front, then the pairs from the back. */
static kc_due *kc_due_gather(kc_ipc *ipc, kc_due *at)
{
    kc_due *pairs = NULL;
    kc_due *all = NULL;
    while (at != NULL) {
        kc_due *second = at->next;
        kc_due *rest = second != NULL ? second->next : NULL;
        at->next = NULL;
        if (second != NULL) {
            second->next = NULL;
        }
        kc_due *pair = kc_due_meld(ipc, at, second);
        pair->next = pairs;
        pairs = pair;
        at = rest;
    }
    while (pairs != NULL) {
        kc_due *rest = pairs->next;
        pairs->next = NULL;
        all = kc_due_meld(ipc, all, pairs);
        pairs = rest;
    }
    if (all != NULL) {
        all->before = NULL;
    }
    return all;
}

static void kc_due_cut(kc_due *due)
{
    if (due->before->child == due) {
        due->before->child = due->next;
    } else {
        due->before->next = due->next;
    }
    if (due->next != NULL) {
        due->next->before = due->before;
    }
}

void kc_due_clear(kc_ipc *ipc, kc_due *due)
{
    if (!due->set) {
        return;
    }
    kc_due *rest = kc_due_gather(ipc, due->child);
    if (due == ipc->dues) {
        ipc->dues = rest;
    } else {
        kc_due_cut(due);
        ipc->dues = kc_due_meld(ipc, ipc->dues, rest);
    }
    due->child = NULL;
    due->next = NULL;
    due->before = NULL;
    due->set = false;
}

void kc_due_set(kc_ipc *ipc, kc_due *due, int64_t at_ns)
{
    kc_due_clear(ipc, due);
    if (at_ns != INT64_MAX) {
        due->at_ns = at_ns;
        due->set = true;
        ipc->dues = kc_due_meld(ipc, ipc->dues, due);
        kc_client_arm(ipc, at_ns);
    }
}
