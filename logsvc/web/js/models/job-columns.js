/** Columns of the list of jobs: which there are, in this order, and which the reader wants. */

export const COLUMNS = [
  { name: 'status', sort: 'status' },
  { name: 'name', sort: 'name', always: true },
  { name: 'id', sort: 'id' },
  { name: 'owner', sort: 'owner' },
  { name: 'type', sort: 'type' },
  { name: 'algorithm' },
  { name: 'resource_pool' },
  { name: 'engine' },
  { name: 'accelerator' },
  { name: 'tasks', number: true },
  { name: 'created', sort: 'created_at' },
  { name: 'ended', sort: 'ended_at' },
  { name: 'activity' },
  { name: 'size', number: true },
  { name: 'utilization', number: true },
  { name: 'flags' },
]

export const USUAL_COLUMNS = 'status,name,id,owner,created,activity,size,utilization,flags'

/** The setting -> the columns it names, in their order. */
export function chosenColumns(setting) {
  const names = new Set(setting.split(','))
  return COLUMNS.filter(({ name, always }) => always || names.has(name))
}

/** The setting with one column shown or hidden. */
export function withColumn(setting, name, shown) {
  const names = new Set(setting.split(','))
  if (shown) names.add(name)
  else names.delete(name)
  return COLUMNS.map((column) => column.name)
    .filter((one) => names.has(one))
    .join(',')
}
