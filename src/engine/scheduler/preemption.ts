// Who gives up its row when KV memory is short. Pure.

/**
 * The youngest of the running requests. The oldest is therefore never a victim while another runs: it finishes, frees its
 * memory, and the next oldest follows; so preemption cannot go on for ever.
 */
export function chooseVictim<View extends { readonly arrival: number }>(running: Iterable<View>): View | null {
  let youngest: View | null = null;
  for (const view of running) {
    if (youngest === null || view.arrival > youngest.arrival) youngest = view;
  }
  return youngest;
}
